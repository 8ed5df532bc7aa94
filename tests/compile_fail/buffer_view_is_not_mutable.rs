// SPDX-License-Identifier: Apache-2.0
use aegis_memory::buffer::Buffer;

fn main() {
    let mut buffer = Buffer::from(vec![1, 2, 3]);
    buffer[0] = 4; //~ E0594
    let bytes: &mut [u8] = &mut buffer; //~ E0596
    bytes.fill(0);
}
