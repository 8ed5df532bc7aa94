// SPDX-License-Identifier: Apache-2.0
//! Our page cache itself, with pages of no content: what is measured is the policy that it has
//! (`csrc/cache/policy.c`).

use aegis_memory::cache::{BeginRead, FileId, MemoryStore, PageCache};

use crate::Policy;

pub struct Ours {
    cache: PageCache,
    file: FileId,
}

impl Ours {
    pub fn new(capacity: usize) -> Self {
        let cache = PageCache::builder().page_size(512).frames(capacity).build();
        let cache = cache.expect("there is memory for the frames");
        let file = cache.open(MemoryStore::new()).expect("a file can be opened");
        Self { cache, file }
    }
}

impl Policy for Ours {
    fn access(&mut self, page: u64) -> bool {
        match self.cache.begin_read(self.file, page).expect("no page stays pinned") {
            BeginRead::Ready(_) => true,
            BeginRead::Pending(read) => {
                read.complete(Ok(())).expect("nothing can fail");
                false
            }
        }
    }
}
