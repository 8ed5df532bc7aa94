// SPDX-License-Identifier: Apache-2.0
use aegis_memory::buffer::Buffer;
use std::rc::Rc;

fn main() {
    let shared: Rc<[u8]> = Rc::from(&b"one thread's"[..]);
    let _ = Buffer::from_owner(shared);
}
