// SPDX-License-Identifier: Apache-2.0
// Rust: panics that abort, and plain faults; both ways of mangling names.
//
// case: rust_panic        = rustc -g -C panic=abort --cfg panics
// case: rust_panic_v0     = rustc -g -C panic=abort -C symbol-mangling-version=v0 --cfg panics
// case: rust_panic_plain  = rustc -O -C panic=abort --cfg panics
// case: rust_fault        = rustc -g --cfg faults
// case: rust_fault_o      = rustc -g -O --cfg faults
// case: rust_fault_v0     = rustc -O -C symbol-mangling-version=v0 --cfg faults
// case: rust_fault_stripped = rustc -O --cfg faults ; strip
// case: rust_thread       = rustc -g --cfg threads
// case: rust_overflow     = rustc -g --cfg overflows
// signal: SIGABRT
// signal rust_fault rust_fault_o rust_fault_v0 rust_fault_stripped rust_thread: SIGSEGV
// stack rust_panic rust_panic_v0 rust_panic_plain: ... <- panics::inner::unwrapping <- panics::middle
//     <- panics::main <- ... <- outermost
// stack rust_fault rust_fault_o rust_fault_v0 rust_fault_stripped: ... <- panics::inner::writing
//     <- <panics::Shape as panics::Deed>::deed|panics::{impl#0}::deed <- panics::middle <- panics::main <- ...
//     <- outermost
// stack rust_thread: ... <- panics::inner::writing <- panics::worker <- ... <- outermost
// thread rust_thread 1x: ... <- panics::main <- ... <- outermost
// stack rust_overflow: ... <- trampoline <- ... <- panics::inner::endless*many <- panics::main <- ... <- outermost

// What the compiler can't see through.
#[inline(never)]
fn hidden<T: Copy>(value: T) -> T {
    unsafe { std::ptr::read_volatile(&value) }
}

pub trait Deed {
    fn deed(&self, number: u32) -> u32;
}

#[derive(Clone, Copy)]
pub struct Shape(u32);

impl Deed for Shape {
    #[inline(never)]
    fn deed(&self, number: u32) -> u32 {
        let got = inner::writing(number + self.0); // @<panics::Shape as panics::Deed>::deed
        crate::hidden(got) + 1
    }
}

mod inner {
    #[inline(never)]
    #[allow(dead_code)]
    pub fn unwrapping(number: Option<u32>) -> u32 {
        number.unwrap() // @panics::inner::unwrapping
    }

    #[inline(never)]
    #[allow(dead_code)]
    pub fn writing(number: u32) -> u32 {
        let place = crate::hidden(8usize) as *mut u32;
        unsafe { place.write_volatile(number) }; // @panics::inner::writing
        number
    }

    #[inline(never)]
    #[allow(dead_code, unconditional_recursion)]
    pub fn endless(number: u64) -> u64 { // @panics::inner::endless
        let room = crate::hidden([number; 64]); // @panics::inner::endless
        let got = endless(number + 1); // @panics::inner::endless
        crate::hidden(room)[3] + got
    }
}

#[inline(never)]
#[allow(dead_code)]
fn middle(number: u32) -> u32 {
    #[cfg(panics)]
    let got = inner::unwrapping(crate::hidden(None)); // @panics::middle
    #[cfg(not(panics))]
    let got = crate::hidden(Shape(number)).deed(number); // @panics::middle
    crate::hidden(got) + number
}

#[inline(never)]
#[allow(dead_code)]
fn worker(gate: std::sync::mpsc::Receiver<u32>) -> u32 {
    let _ = gate.recv(); // until the thread that made this one has done so
    while !std::fs::read_to_string("/proc/self/stat").unwrap().contains(") S ") {} // and sleeps, as it waits for us
    let got = inner::writing(1); // @panics::worker
    crate::hidden(got)
}

#[cfg(any(panics, faults))]
fn main() {
    let got = middle(crate::hidden(1)); // @panics::main
    crate::hidden(got);
}

#[cfg(threads)]
fn main() {
    let (open, gate) = std::sync::mpsc::channel();
    let one = std::thread::spawn(move || worker(gate));
    let _ = open.send(1); // @panics::main
    crate::hidden(one.join().unwrap()); // @panics::main
}

#[cfg(overflows)]
fn main() {
    let got = inner::endless(crate::hidden(1)); // @panics::main
    crate::hidden(got);
}
