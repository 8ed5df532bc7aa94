// SPDX-License-Identifier: Apache-2.0
use aegis_memory::buffer::BufferMut;

fn main() {
    let mut writer = BufferMut::with_capacity(8);
    let room = writer.spare_capacity_mut();
    let back = writer.split_off(4); //~ E0499
    room[4].write(1);
    drop(back);
}
