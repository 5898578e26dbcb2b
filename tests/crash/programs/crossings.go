// SPDX-License-Identifier: Apache-2.0
// Go and C: the stack of a goroutine goes on where C's stack, on which its call is worked off, ends.
//
// case: cgo_in_c        = go
// case: cgo_stripped    = go -ldflags=-s\ -w
// case: cgo_called_back = go
// case: cgo_pie         = go -buildmode=pie
// signal: SIGABRT
// environment: GOTRACEBACK=crash GOMAXPROCS=2
// arguments cgo_in_c cgo_stripped cgo_pie: c
// arguments cgo_called_back: back
// stack: ... <- in_c <- through_c <- ... <- runtime.asmcgocall <- runtime.cgocall
//     <- main._Cfunc_through_c <- main.middle <- main.main <- ...
// stack cgo_called_back: ... <- main.called_back <- ... <- main._Cfunc_through_c <- main.middle <- main.main <- ...
// others: any
package main

/*
typedef int (*function)(int *);
extern int called_back(int *where);

static int __attribute__((noinline)) in_c(int *where) {
	int volatile found = *where; // @in_c
	return found + 1;
}

static int __attribute__((noinline)) through_c(int back, int *where) {
	function volatile wanted = back ? called_back : in_c;
	return wanted(where) + 1; // @through_c
}
*/
import "C"

import "os"

//export called_back
//go:noinline
func called_back(where *C.int) C.int {
	return *where // @main.called_back
}

//go:noinline
func middle(how string) int {
	back := 0
	if how == "back" {
		back = 1
	}
	return int(C.through_c(C.int(back), nil)) // @main.middle
}

func main() {
	os.Exit(middle(os.Args[1])) // @main.main
}
