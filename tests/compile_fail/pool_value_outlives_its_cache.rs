// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::{Boxed, LockFreePool, TypedPool};
use std::sync::Arc;

fn main() {
    let names = Arc::new(TypedPool::<String, LockFreePool>::new(128));
    let cache = names.cache();
    let lent = cache.alloc(String::new()).unwrap();
    let detached = Boxed::detach(cache.alloc(String::new()).unwrap());
    drop(cache); //~ E0505
    drop(lent);
    drop(names); //~ E0505
    drop(detached);
}
