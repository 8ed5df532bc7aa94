// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::{LockFreePool, TypedPool};
use std::rc::Rc;
use std::thread;

fn main() {
    let pool = TypedPool::<Rc<u8>, LockFreePool>::new(1);
    let value = pool.alloc(Rc::new(1)).unwrap();
    thread::scope(|threads| {
        threads.spawn(move || drop(value)); //~ E0277
    });
}
