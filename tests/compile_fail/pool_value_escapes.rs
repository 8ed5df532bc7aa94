// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::{PoolBox, TypedPool};

fn boxed() -> PoolBox<'static, String> {
    let pool = TypedPool::<String>::new(1);
    pool.alloc(String::new()).unwrap() //~ E0515
}

fn leaked() -> &'static mut String {
    let pool = TypedPool::<String>::new(1);
    PoolBox::leak(pool.alloc(String::new()).unwrap()) //~ E0515
}

fn main() {
    boxed();
    leaked();
}
