// SPDX-License-Identifier: Apache-2.0
use aegis_memory::buffer::Buffer;

fn main() {
    let _ = Buffer::map_file("changed/by/others"); //~ E0133
}
