// SPDX-License-Identifier: Apache-2.0
// Go: panics and faults, in main and in a goroutine; with GOTRACEBACK=crash they end in a core. A signal from outside
// is handed on from thread to thread, and the last one dies of it. What the runtime itself can't go on with, it says on
// another stack than the goroutine's.
//
// case: go_panic      = go
// case: go_nil        = go
// case: go_goroutine  = go
// case: go_signal     = go
// case: go_stripped   = go -ldflags=-s\ -w
// case: go_pie        = go -buildmode=pie
// case: go_midway     = go
// case: go_fatal      = go
// case: go_overflow   = go -ldflags=-s\ -w
// case: go_no_dwarf   = go -ldflags=-w
// case: arm_go_midway = aarch64-go -buildmode=pie
// case: arm_go_plain  = aarch64-go -buildmode=pie ; strip
// signal: SIGABRT
// environment: GOTRACEBACK=crash GOMAXPROCS=2
// environment go_signal: GOTRACEBACK=crash GOMAXPROCS=2 GODEBUG=asyncpreemptoff=1
// arguments go_panic go_pie: panic
// arguments go_nil go_stripped arm_go_plain: nil
// arguments go_goroutine: goroutine
// arguments go_signal: signal
// arguments go_midway arm_go_midway: midway
// arguments go_fatal go_no_dwarf: fatal
// arguments go_overflow: overflow
// stack go_panic go_pie: ... <- main.panicking <- main.middle <- main.main <- ...
// stack go_nil go_stripped arm_go_plain: ... <- main.faulting <- main.middle <- main.main <- ...
// stack go_midway arm_go_midway: ... <- main.midway <- main.middle <- main.main <- ...
// stack go_fatal go_no_dwarf: ... <- sync.(*Mutex).unlockSlow <- main.unlocking <- main.middle <- main.main <- ...
// stack go_overflow: ... <- main.endless*many <- main.middle <- main.main <- ...
// stack go_goroutine: ... <- main.faulting <- main.(*Shape).Deed <- ...
// stack go_signal: ... <- trampoline <- ...
// thread go_signal 1x: ... <- trampoline <- main.spinning <- main.middle <- main.main <- ...
// others: any
package main

import (
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type Shape struct{ side int }

//go:noinline
func (s *Shape) Deed(done chan int) {
	done <- faulting(nil) + s.side // @main.(*Shape).Deed
}

//go:noinline
func panicking(number int) int {
	if number > 0 {
		panic("on purpose") // @main.panicking
	}
	return number
}

//go:noinline
func faulting(where *int) int {
	return *where // @main.faulting
}

// Faults in the middle of a function, not behind a call.
//
//go:noinline
func midway(numbers []string, where *int) int {
	sum := 0
	for _, number := range numbers {
		sum += len(number)
	}
	return sum + *where // @main.midway
}

//go:noinline
func unlocking(lock *sync.Mutex) int {
	lock.Unlock() // @main.unlocking
	return 1
}

//go:noinline
func endless(number int) int { // @main.endless
	return endless(number+1) + 1 // @main.endless
}

// The signal comes from another thread, at whatever instruction of the loop: which is never preempted, and so stays on
// the thread that it began on.
//
//go:noinline
func spinning(turns *int64) int {
	for { // @main.spinning
		if atomic.AddInt64(turns, 1) < 0 { // @main.spinning
			return 1 // @main.spinning
		}
	}
}

//go:noinline
func middle(how string) int {
	switch how {
	case "panic":
		return panicking(len(os.Args)) // @main.middle
	case "nil":
		return faulting(nil) // @main.middle
	case "midway":
		return midway(os.Args, nil) // @main.middle
	case "fatal":
		return unlocking(&sync.Mutex{}) // @main.middle
	case "overflow":
		debug.SetMaxStack(1 << 16)
		return endless(1) // @main.middle
	case "signal":
		self, thread, turns := os.Getpid(), syscall.Gettid(), int64(0)
		go func() {
			for atomic.LoadInt64(&turns) == 0 {
				time.Sleep(time.Millisecond)
			}
			_ = syscall.Tgkill(self, thread, syscall.SIGQUIT)
		}()
		return spinning(&turns) // @main.middle
	}
	done := make(chan int)
	go (&Shape{3}).Deed(done)
	return <-done // @main.middle
}

func main() {
	os.Exit(middle(os.Args[1])) // @main.main
}
