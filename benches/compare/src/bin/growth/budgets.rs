// SPDX-License-Identifier: Apache-2.0
//! Budgets: children of one parent, and levels.

use std::hint::black_box;

use aegis_memory::budget::{MemoryBudget, Reservation};

use crate::curve::{per_operation, powers, repeats, time, Rule, Table};

/// A parent with children, of which each has so much guaranteed.
fn family(count: u64, guaranteed: usize) -> (MemoryBudget, Vec<MemoryBudget>) {
    let parent = MemoryBudget::new("parent", usize::MAX / 4);
    let child = |_| {
        let child = parent.child("child", 1 << 20);
        child.set_guaranteed(guaranteed);
        child
    };
    let children = (0..count).map(child).collect();
    (parent, children)
}

/// Charges each child in turn, and uncharges it.
fn charge(count: u64, guaranteed: usize) -> f64 {
    let (_parent, children) = family(count, guaranteed);
    let repeats = repeats(count);
    per_operation(count * repeats, || {
        time(|| {
            for child in (0..repeats).flat_map(|_| &children) {
                drop(black_box(child.reserve(4096)));
            }
        })
    })
}

fn by_children(sizes: &[u64]) {
    let mut table = Table::new("Budgets with one parent, ns for each", sizes);
    table.add("made and dropped", Rule::Flat, |count| {
        Some(per_operation(count, || time(|| drop(family(count, 0)))))
    });
    table.add("charged and uncharged", Rule::Flat, |count| Some(charge(count, 0)));
    table.add("the same with guarantees", Rule::Flat, |count| Some(charge(count, 1024)));
    table.add("one of them", Rule::Flat, |count| {
        let (_parent, children) = family(count, 0);
        let child = &children[count as usize / 2];
        Some(per_operation(10_000, || {
            time(|| (0..10_000).for_each(|_| drop(black_box(child.reserve(4096)))))
        }))
    });
    table.add("one of them, with guarantees", Rule::Flat, |count| {
        let (_parent, children) = family(count, 1024);
        let child = &children[count as usize / 2];
        Some(per_operation(10_000, || {
            time(|| (0..10_000).for_each(|_| drop(black_box(child.reserve(4096)))))
        }))
    });
    table.add("a row of a snapshot", Rule::Flat, |count| {
        let (parent, _children) = family(count, 0);
        Some(per_operation(count, || time(|| drop(black_box(parent.snapshot())))))
    });
    table.print();

    let mut table = Table::new("What a parent with so many children says, ns for all", sizes);
    const NAMED: &str = "it looks at all budgets beneath, for the largest consumers";
    table.add("a refusal", Rule::Rise(sizes[sizes.len() - 1] as f64, NAMED), |count| {
        let (parent, children) = family(count, 0);
        let _held: Vec<Reservation> = children.iter().map(|child| child.reserve(64)).collect();
        parent.set_limit(parent.used());
        Some(per_operation(100, || {
            time(|| (0..100).for_each(|_| drop(black_box(parent.try_reserve(1)))))
        }))
    });
    table.print();
}

fn by_levels() {
    let mut table = Table::new("Budgets above each other, ns for each level", &[1, 2, 4, 8, 16]);
    table.add("charged and uncharged", Rule::Flat, |levels| {
        let mut chain = vec![MemoryBudget::new("root", usize::MAX / 4)];
        for _ in 1..levels {
            let deeper = chain[chain.len() - 1].child("deeper", 1 << 30);
            chain.push(deeper);
        }
        let deepest = &chain[chain.len() - 1];
        let each = per_operation(10_000, || {
            time(|| (0..10_000).for_each(|_| drop(black_box(deepest.reserve(4096)))))
        });
        Some(each / levels as f64)
    });
    table.print();
}

pub fn print(short: bool) {
    by_children(&powers(0, if short { 3 } else { 4 }));
    by_levels();
}
