// SPDX-License-Identifier: Apache-2.0
use aegis_memory::arena::{Arena, ArenaFnOnce};
use aegis_memory::unsize_box;

fn main() {
    let arena = Arena::new(64);
    let job: ArenaFnOnce<'_, (), usize> = {
        let text = String::from("gone");
        let text = &text; //~ E0597
        unsize_box!(arena.alloc_boxed(move || text.len()))
    };
    job.call_once(());
    job.call_once(()); //~ E0382
}
