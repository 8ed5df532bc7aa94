// SPDX-License-Identifier: Apache-2.0
use aegis_memory::buffer::{Buffer, BufferMut};

fn main() {
    let buffer = Buffer::from(vec![1, 2, 3]);
    let bytes = &buffer[1..];
    drop(buffer); //~ E0505
    println!("{bytes:?}");

    let mut writer = BufferMut::with_capacity(8);
    let bytes = &mut writer[..];
    let frozen = writer.freeze(); //~ E0505
    bytes[0] = 1;
    drop(frozen);
}
