// SPDX-License-Identifier: Apache-2.0
use aegis_memory::buffer::Buffer;

fn main() {
    let local = vec![1, 2, 3];
    let _ = Buffer::from_owner(&local); //~ E0597
    let _ = Buffer::from_static(&local); //~ E0597
}
