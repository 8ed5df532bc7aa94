// SPDX-License-Identifier: Apache-2.0
//! What the policies are made of: a table from page to node, and doubly linked lists of nodes.
//!
//! Pages of traces are small numbers without large gaps, so the table is an array.

/// No node.
pub const NONE: u32 = u32::MAX;

/// Which node has a page.
#[derive(Default)]
pub struct Table {
    nodes: Vec<u32>,
}

impl Table {
    /// The node of a page, or `NONE`.
    pub fn get(&self, page: u64) -> u32 {
        self.nodes.get(page as usize).copied().unwrap_or(NONE)
    }

    pub fn set(&mut self, page: u64, node: u32) {
        let at = page as usize;
        if at >= self.nodes.len() {
            self.nodes.resize((at + 1).next_power_of_two(), NONE);
        }
        self.nodes[at] = node;
    }

    pub fn remove(&mut self, page: u64) {
        self.set(page, NONE);
    }
}

/// The ends of a list. Its front is where nodes enter.
#[derive(Clone, Copy)]
pub struct List {
    pub front: u32,
    pub back: u32,
    pub count: usize,
}

impl List {
    pub const EMPTY: List = List { front: NONE, back: NONE, count: 0 };
}

#[derive(Clone, Copy)]
struct Node {
    page: u64,
    /// Towards the front.
    newer: u32,
    /// Towards the back.
    older: u32,
    /// What a policy keeps of a page.
    mark: u32,
}

/// The nodes of all lists of a policy.
#[derive(Default)]
pub struct Nodes {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

impl Nodes {
    /// A node for a page. It is in no list, and its mark is 0.
    pub fn take(&mut self, page: u64) -> u32 {
        let node = Node { page, newer: NONE, older: NONE, mark: 0 };
        if let Some(at) = self.free.pop() {
            self.nodes[at as usize] = node;
            return at;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// Gives back a node that is in no list.
    pub fn give(&mut self, node: u32) {
        self.free.push(node);
    }

    pub fn page(&self, node: u32) -> u64 {
        self.nodes[node as usize].page
    }

    pub fn newer(&self, node: u32) -> u32 {
        self.nodes[node as usize].newer
    }

    pub fn mark(&mut self, node: u32) -> &mut u32 {
        &mut self.nodes[node as usize].mark
    }

    pub fn push(&mut self, list: &mut List, node: u32) {
        self.nodes[node as usize].newer = NONE;
        self.nodes[node as usize].older = list.front;
        match list.front {
            NONE => list.back = node,
            front => self.nodes[front as usize].newer = node,
        }
        list.front = node;
        list.count += 1;
    }

    pub fn remove(&mut self, list: &mut List, node: u32) {
        let Node { newer, older, .. } = self.nodes[node as usize];
        match newer {
            NONE => list.front = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            NONE => list.back = newer,
            older => self.nodes[older as usize].newer = newer,
        }
        list.count -= 1;
    }
}
