// SPDX-License-Identifier: Apache-2.0
use aegis_memory::buffer::Buffer;
use std::sync::{Mutex, MutexGuard};

struct Owner<T>(T);

impl<T> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        b"one thread's"
    }
}

fn main() {
    static LOCK: Mutex<()> = Mutex::new(());
    let not_send: MutexGuard<'static, ()> = LOCK.lock().unwrap();
    let _ = Buffer::from_owner(Owner(not_send)); //~ E0277
}
