// SPDX-License-Identifier: Apache-2.0
//! The policies beside ours, each as its paper has it, and the crate `quick_cache`.
//!
//! - LRU and CLOCK: as in any textbook.
//! - 2Q, the full version: T. Johnson, D. Shasha, 2Q: a low overhead high performance buffer
//!   management replacement algorithm (VLDB 1994), with the sizes that it recommends.
//! - ARC: N. Megiddo, D. Modha, ARC: a self-tuning, low overhead replacement cache (FAST 2003).
//! - S3-FIFO: J. Yang and others, FIFO queues are all you need for cache eviction (SOSP 2023).
//! - SIEVE: Y. Zhang and others, SIEVE is simpler than LRU (NSDI 2024).

use crate::lists::{List, Nodes, Table, NONE};
use crate::Policy;

/// Of a resident page, which is in one of two lists.
const IN_FIRST: u32 = 1;
const IN_SECOND: u32 = 2;
/// Of a page that was evicted from one of them lately.
const FIRST_GHOST: u32 = 3;
const SECOND_GHOST: u32 = 4;

pub struct Lru {
    capacity: usize,
    table: Table,
    nodes: Nodes,
    list: List,
}

impl Lru {
    pub fn new(capacity: usize) -> Self {
        Lru { capacity, table: Table::default(), nodes: Nodes::default(), list: List::EMPTY }
    }
}

impl Policy for Lru {
    fn access(&mut self, page: u64) -> bool {
        let node = self.table.get(page);
        if node != NONE {
            self.nodes.remove(&mut self.list, node);
            self.nodes.push(&mut self.list, node);
            return true;
        }
        if self.list.count == self.capacity {
            let victim = self.list.back;
            self.nodes.remove(&mut self.list, victim);
            self.table.remove(self.nodes.page(victim));
            self.nodes.give(victim);
        }
        let node = self.nodes.take(page);
        self.nodes.push(&mut self.list, node);
        self.table.set(page, node);
        false
    }
}

pub struct Clock {
    table: Table,
    pages: Vec<u64>,
    was_hit: Vec<bool>,
    capacity: usize,
    hand: usize,
}

impl Clock {
    pub fn new(capacity: usize) -> Self {
        Clock { table: Table::default(), pages: Vec::new(), was_hit: Vec::new(), capacity, hand: 0 }
    }
}

impl Policy for Clock {
    fn access(&mut self, page: u64) -> bool {
        let at = self.table.get(page);
        if at != NONE {
            self.was_hit[at as usize] = true;
            return true;
        }
        if self.pages.len() < self.capacity {
            self.table.set(page, self.pages.len() as u32);
            self.pages.push(page);
            self.was_hit.push(false);
            return false;
        }
        while self.was_hit[self.hand] {
            self.was_hit[self.hand] = false;
            self.hand = (self.hand + 1) % self.capacity;
        }
        self.table.remove(self.pages[self.hand]);
        self.pages[self.hand] = page;
        self.table.set(page, self.hand as u32);
        self.hand = (self.hand + 1) % self.capacity;
        false
    }
}

pub struct TwoQ {
    capacity: usize,
    table: Table,
    nodes: Nodes,
    /// A1in, a FIFO.
    first: List,
    /// A1out.
    ghosts: List,
    /// Am, an LRU.
    main: List,
}

impl TwoQ {
    pub fn new(capacity: usize) -> Self {
        TwoQ {
            capacity,
            table: Table::default(),
            nodes: Nodes::default(),
            first: List::EMPTY,
            ghosts: List::EMPTY,
            main: List::EMPTY,
        }
    }

    fn make_room(&mut self) {
        if self.first.count + self.main.count < self.capacity {
            return;
        }
        if self.first.count > self.capacity / 4 || self.main.count == 0 {
            let node = self.first.back;
            self.nodes.remove(&mut self.first, node);
            self.nodes.push(&mut self.ghosts, node);
            *self.nodes.mark(node) = FIRST_GHOST;
            if self.ghosts.count > self.capacity / 2 {
                let last = self.ghosts.back;
                self.nodes.remove(&mut self.ghosts, last);
                self.table.remove(self.nodes.page(last));
                self.nodes.give(last);
            }
        } else {
            let node = self.main.back;
            self.nodes.remove(&mut self.main, node);
            self.table.remove(self.nodes.page(node));
            self.nodes.give(node);
        }
    }
}

impl Policy for TwoQ {
    fn access(&mut self, page: u64) -> bool {
        let mut node = self.table.get(page);
        let mark = if node == NONE { 0 } else { *self.nodes.mark(node) };
        if mark == IN_FIRST {
            return true;
        }
        if mark == IN_SECOND {
            self.nodes.remove(&mut self.main, node);
            self.nodes.push(&mut self.main, node);
            return true;
        }
        if mark == FIRST_GHOST {
            self.nodes.remove(&mut self.ghosts, node);
            self.make_room();
            self.nodes.push(&mut self.main, node);
            *self.nodes.mark(node) = IN_SECOND;
            return false;
        }
        self.make_room();
        node = self.nodes.take(page);
        self.nodes.push(&mut self.first, node);
        *self.nodes.mark(node) = IN_FIRST;
        self.table.set(page, node);
        false
    }
}

pub struct Arc {
    capacity: usize,
    /// The size that the first list shall have: p in the paper.
    target: usize,
    table: Table,
    nodes: Nodes,
    /// T1, T2, B1, B2 in the paper.
    first: List,
    second: List,
    first_ghosts: List,
    second_ghosts: List,
}

impl Arc {
    pub fn new(capacity: usize) -> Self {
        Arc {
            capacity,
            target: 0,
            table: Table::default(),
            nodes: Nodes::default(),
            first: List::EMPTY,
            second: List::EMPTY,
            first_ghosts: List::EMPTY,
            second_ghosts: List::EMPTY,
        }
    }

    fn forget(table: &mut Table, nodes: &mut Nodes, list: &mut List) {
        let node = list.back;
        nodes.remove(list, node);
        table.remove(nodes.page(node));
        nodes.give(node);
    }

    fn replace(&mut self, is_second_ghost: bool) {
        let count = self.first.count;
        if count > 0 && (count > self.target || (is_second_ghost && count == self.target)) {
            let node = self.first.back;
            self.nodes.remove(&mut self.first, node);
            self.nodes.push(&mut self.first_ghosts, node);
            *self.nodes.mark(node) = FIRST_GHOST;
        } else {
            let node = self.second.back;
            self.nodes.remove(&mut self.second, node);
            self.nodes.push(&mut self.second_ghosts, node);
            *self.nodes.mark(node) = SECOND_GHOST;
        }
    }
}

impl Policy for Arc {
    fn access(&mut self, page: u64) -> bool {
        let node = self.table.get(page);
        let mark = if node == NONE { 0 } else { *self.nodes.mark(node) };
        match mark {
            IN_FIRST | IN_SECOND => {
                let from = if mark == IN_FIRST { &mut self.first } else { &mut self.second };
                self.nodes.remove(from, node);
                self.nodes.push(&mut self.second, node);
                *self.nodes.mark(node) = IN_SECOND;
                return true;
            }
            FIRST_GHOST => {
                let step = (self.second_ghosts.count / self.first_ghosts.count).max(1);
                self.target = (self.target + step).min(self.capacity);
                self.replace(false);
                self.nodes.remove(&mut self.first_ghosts, node);
            }
            SECOND_GHOST => {
                let step = (self.first_ghosts.count / self.second_ghosts.count).max(1);
                self.target = self.target.saturating_sub(step);
                self.replace(true);
                self.nodes.remove(&mut self.second_ghosts, node);
            }
            _ => {
                let first_count = self.first.count + self.first_ghosts.count;
                let count = first_count + self.second.count + self.second_ghosts.count;
                if first_count == self.capacity {
                    if self.first.count < self.capacity {
                        Self::forget(&mut self.table, &mut self.nodes, &mut self.first_ghosts);
                        self.replace(false);
                    } else {
                        Self::forget(&mut self.table, &mut self.nodes, &mut self.first);
                    }
                } else if count >= self.capacity {
                    if count == 2 * self.capacity {
                        Self::forget(&mut self.table, &mut self.nodes, &mut self.second_ghosts);
                    }
                    self.replace(false);
                }
                let node = self.nodes.take(page);
                self.nodes.push(&mut self.first, node);
                *self.nodes.mark(node) = IN_FIRST;
                self.table.set(page, node);
                return false;
            }
        }
        self.nodes.push(&mut self.second, node);
        *self.nodes.mark(node) = IN_SECOND;
        false
    }
}

pub struct S3Fifo {
    capacity: usize,
    table: Table,
    nodes: Nodes,
    small: List,
    main: List,
    ghosts: List,
}

/// The mark of S3-FIFO: the queue in the low bits, the hits, at most 3, above them.
const S3_HIT: u32 = 8;
const S3_MOST: u32 = 3 * S3_HIT;

impl S3Fifo {
    pub fn new(capacity: usize) -> Self {
        S3Fifo {
            capacity,
            table: Table::default(),
            nodes: Nodes::default(),
            small: List::EMPTY,
            main: List::EMPTY,
            ghosts: List::EMPTY,
        }
    }

    fn evict_small(&mut self) {
        while self.small.count > 0 {
            let node = self.small.back;
            self.nodes.remove(&mut self.small, node);
            if *self.nodes.mark(node) / S3_HIT > 1 {
                *self.nodes.mark(node) = IN_SECOND;
                self.nodes.push(&mut self.main, node);
                if self.main.count > self.capacity - self.capacity / 10 {
                    return self.evict_main();
                }
                continue;
            }
            *self.nodes.mark(node) = FIRST_GHOST;
            self.nodes.push(&mut self.ghosts, node);
            if self.ghosts.count > self.capacity - self.capacity / 10 {
                let last = self.ghosts.back;
                self.nodes.remove(&mut self.ghosts, last);
                self.table.remove(self.nodes.page(last));
                self.nodes.give(last);
            }
            return;
        }
        self.evict_main();
    }

    fn evict_main(&mut self) {
        loop {
            let node = self.main.back;
            self.nodes.remove(&mut self.main, node);
            if *self.nodes.mark(node) < S3_HIT {
                self.table.remove(self.nodes.page(node));
                self.nodes.give(node);
                return;
            }
            *self.nodes.mark(node) -= S3_HIT;
            self.nodes.push(&mut self.main, node);
        }
    }
}

impl Policy for S3Fifo {
    fn access(&mut self, page: u64) -> bool {
        let mut node = self.table.get(page);
        let mark = if node == NONE { 0 } else { *self.nodes.mark(node) };
        if mark != 0 && mark != FIRST_GHOST {
            if mark < S3_MOST {
                *self.nodes.mark(node) += S3_HIT;
            }
            return true;
        }
        let is_ghost = mark == FIRST_GHOST;
        if is_ghost {
            self.nodes.remove(&mut self.ghosts, node);
            self.table.remove(page);
            self.nodes.give(node);
        }
        if self.small.count + self.main.count == self.capacity {
            if self.small.count >= self.capacity / 10 {
                self.evict_small();
            } else {
                self.evict_main();
            }
        }
        node = self.nodes.take(page);
        self.table.set(page, node);
        if is_ghost {
            *self.nodes.mark(node) = IN_SECOND;
            self.nodes.push(&mut self.main, node);
        } else {
            *self.nodes.mark(node) = IN_FIRST;
            self.nodes.push(&mut self.small, node);
        }
        false
    }
}

pub struct Sieve {
    capacity: usize,
    table: Table,
    nodes: Nodes,
    list: List,
    hand: u32,
}

impl Sieve {
    pub fn new(capacity: usize) -> Self {
        Sieve {
            capacity,
            table: Table::default(),
            nodes: Nodes::default(),
            list: List::EMPTY,
            hand: NONE,
        }
    }
}

impl Policy for Sieve {
    fn access(&mut self, page: u64) -> bool {
        let node = self.table.get(page);
        if node != NONE {
            *self.nodes.mark(node) = 1;
            return true;
        }
        if self.list.count == self.capacity {
            let mut victim = if self.hand == NONE { self.list.back } else { self.hand };
            while *self.nodes.mark(victim) != 0 {
                *self.nodes.mark(victim) = 0;
                victim = self.nodes.newer(victim);
                if victim == NONE {
                    victim = self.list.back;
                }
            }
            self.hand = self.nodes.newer(victim);
            self.nodes.remove(&mut self.list, victim);
            self.table.remove(self.nodes.page(victim));
            self.nodes.give(victim);
        }
        let node = self.nodes.take(page);
        self.nodes.push(&mut self.list, node);
        self.table.set(page, node);
        false
    }
}

pub struct QuickCache {
    cache: quick_cache::unsync::Cache<u64, ()>,
}

impl QuickCache {
    pub fn new(capacity: usize) -> Self {
        QuickCache { cache: quick_cache::unsync::Cache::new(capacity) }
    }
}

impl Policy for QuickCache {
    fn access(&mut self, page: u64) -> bool {
        if self.cache.get(&page).is_some() {
            return true;
        }
        self.cache.insert(page, ());
        false
    }
}
