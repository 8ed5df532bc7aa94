// SPDX-License-Identifier: Apache-2.0
use aegis_memory::pool::Pool;

fn main() {
    let pool = Pool::new(64, 1);
    let mut block = pool.alloc().unwrap();
    let bytes = &mut block[..];
    drop(block); //~ E0505
    bytes[0] = 1;
    let block = pool.alloc().unwrap();
    drop(block);
    drop(block); //~ E0382
}
