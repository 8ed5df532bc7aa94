// SPDX-License-Identifier: Apache-2.0
//! The program on a Cortex-M4, as start_thumb.c is for C.
#![no_std]
#![no_main]

#[cfg(target_arch = "arm")]
mod start {
    use core::arch::asm;
    use core::panic::PanicInfo;
    use core::ptr;

    extern "C" {
        static mut data_start: u8;
        static mut bss_start: u8;
        static data_end: u8;
        static data_copy: u8;
        static bss_end: u8;
        static stack_top: u8;
    }

    #[repr(C)]
    struct Vectors([*const u8; 1], [unsafe extern "C" fn() -> !; 15]);

    // SAFETY: nothing changes it.
    unsafe impl Sync for Vectors {}

    #[link_section = ".vectors"]
    #[used]
    static VECTORS: Vectors = Vectors(
        [&raw const stack_top],
        [
            _start, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault,
            fault, fault, fault,
        ],
    );

    fn call_host(operation: usize, argument: usize) {
        // SAFETY: semihosting, which only reads what the argument points to.
        unsafe { asm!("bkpt #0xab", inout("r0") operation => _, in("r1") argument) }
    }

    fn end(failed: bool) -> ! {
        call_host(0x18, if failed { 0x20023 } else { 0x20026 });
        loop {}
    }

    unsafe extern "C" fn fault() -> ! {
        call_host(0x04, c"failed: the processor reports a fault\n".as_ptr() as usize);
        end(true)
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        call_host(0x04, bare::said(info).as_ptr() as usize);
        end(true)
    }

    #[no_mangle]
    unsafe extern "C" fn _start() -> ! {
        let from = &raw mut data_start;
        let zeroed = &raw mut bss_start;
        // SAFETY: the linker's script has these places, and nothing uses them yet.
        unsafe {
            ptr::copy_nonoverlapping(
                &raw const data_copy,
                from,
                (&raw const data_end) as usize - from as usize,
            );
            ptr::write_bytes(zeroed, 0, (&raw const bss_end) as usize - zeroed as usize);
        }
        bare::program();
        call_host(0x04, c"rust: all checks passed\n".as_ptr() as usize);
        end(false)
    }
}
