// SPDX-License-Identifier: Apache-2.0
// Go's part of hosts.c.
package main

/*
typedef int (*function)(int *);

static int __attribute__((noinline)) through(function back, int *where) {
	return back(where) + 1;
}
*/
import "C"

//go:noinline
func faulting(where *C.int) C.int {
	return 1 + *where // @main.faulting
}

//export Into
//go:noinline
func Into(back C.function) C.int {
	if back != nil {
		return C.through(back, nil) + 1 // @main.Into
	}
	return faulting(nil) + 1 // @main.Into
}

func main() {}
