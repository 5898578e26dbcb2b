// SPDX-License-Identifier: Apache-2.0
// C++: exceptions that nobody catches, and the names that templates, lambdas and namespaces give.
//
// case: cpp_uncaught        = g++ -O2 -g -DHOW=corpus::uncaught
// case: cpp_uncaught_o0     = g++ -O0 -g -DHOW=corpus::uncaught
// case: cpp_uncaught_clang  = clang++ -O1 -g -DHOW=corpus::uncaught
// case: cpp_uncaught_static = g++ -O2 -g -static -DHOW=corpus::uncaught
// case: cpp_noexcept        = g++ -O2 -g -DHOW=corpus::promised
// case: cpp_rethrown        = g++ -O2 -g -DHOW=corpus::rethrown
// case: cpp_pure            = g++ -O2 -g -DHOW=corpus::pure
// case: cpp_terminate       = g++ -O2 -DHOW=corpus::terminated
// case: cpp_template        = g++ -O2 -g -DHOW=corpus::templated
// case: cpp_template_plain  = g++ -O2 -DHOW=corpus::templated
// case: cpp_lambda          = g++ -O2 -g -DHOW=corpus::lambda
// case: cpp_sort            = g++ -O0 -g -DHOW=corpus::sorted
// case: cpp_thread          = g++ -O2 -g -DHOW=corpus::threaded
// case: cpp_static          = g++ -O2 -g -DHOW=corpus::quiet -DEARLY
// case: cpp_operator        = g++ -O2 -g -DHOW=corpus::calculated
// case: cpp_destructor      = g++ -O2 -g -DHOW=corpus::destroyed
// case: cpp_gold_types      = clang++ -O2 -gdwarf-5 -fuse-ld=gold -DHOW=corpus::templated
// signal: SIGABRT
// signal cpp_template cpp_template_plain cpp_gold_types cpp_lambda cpp_sort: SIGSEGV
// signal cpp_thread cpp_static cpp_operator cpp_destructor: SIGSEGV
// stack cpp_uncaught cpp_uncaught_o0 cpp_uncaught_clang cpp_uncaught_static: ... <- corpus::thrower
//     <- corpus::uncaught <- main <- outermost
// stack cpp_noexcept: ... <- corpus::thrower <- corpus::promised <- main <- outermost
// stack cpp_rethrown: ... <- corpus::rethrown <- main <- outermost
// stack cpp_pure: ... <- corpus::call_early <- corpus::Base::Base <- ... <- corpus::pure <- main <- outermost
// stack cpp_terminate: ... <- corpus::farewell <- ... <- corpus::terminated <- main <- outermost
// stack cpp_template cpp_template_plain cpp_gold_types: corpus::box<std::pair<int, long> >::open<3>
//     <- corpus::templated <- main <- outermost
// stack cpp_lambda: boom <- corpus::lambda(int)::{lambda(int)#1}::operator() <- ... <- corpus::lambda <- main
//     <- outermost
// stack cpp_sort: corpus::before <- ... <- corpus::sorted <- main <- outermost
// stack cpp_thread: boom <- corpus::work <- ... <- outermost
// thread cpp_thread 1x: ... <- corpus::threaded <- main <- outermost
// stack cpp_static: boom <- corpus::Early::Early <- ... <- outermost
// stack cpp_operator: boom <- corpus::operator+ <- corpus::calculated <- main <- outermost
// stack cpp_destructor: boom <- corpus::Last::~Last <- ... <- corpus::destroyed <- main <- outermost
#include <algorithm>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "at_rest.h"
#include "frame.h"

FRAME static int boom(int number) {
    *(volatile int *)hidden(0) = number; // @boom
    return number;
}

namespace corpus {

FRAME int thrower(int number) {
    if (number == 1)
        throw std::runtime_error("nobody"); // @corpus::thrower
    AND_RETURN;
    return number;
}

FRAME int uncaught(int number) {
    int got = thrower(number); // @corpus::uncaught
    AND_RETURN;
    return got;
}

FRAME int promised(int number) noexcept {
    int got = thrower(number); // @corpus::promised
    AND_RETURN;
    return got;
}

FRAME int rethrown(int number) {
    try {
        return thrower(number);
    } catch (const std::exception &) {
        throw; // @corpus::rethrown
    }
}

struct Base {
    FRAME Base();
    virtual int deed() = 0;
    virtual ~Base() = default;
};

struct Derived : Base {
    int deed() override { return 1; }
};

FRAME int call_early(Base *base) {
    int got = base->deed(); // @corpus::call_early
    AND_RETURN;
    return got;
}

FRAME Base::Base() {
    call_early(this); // @corpus::Base::Base
    AND_RETURN;
}

FRAME int pure(int number) {
    Derived derived; // @corpus::pure
    AND_RETURN;
    return number + derived.deed();
}

FRAME void farewell() {
    abort(); // @corpus::farewell
}

FRAME int terminated(int number) {
    std::set_terminate(farewell);
    if (number == 1)
        std::terminate(); // @corpus::terminated
    AND_RETURN;
    return number;
}

template <typename T> struct box {
    T content;
    template <int N> FRAME int open(int number) {
        *(volatile int *)hidden(0) = number + N; // @corpus::box<std::pair<int, long> >::open<3>
        return (int)sizeof content;
    }
};

FRAME int templated(int number) {
    box<std::pair<int, long>> one{};
    int got = one.open<3>(number); // @corpus::templated
    AND_RETURN;
    return got;
}

FRAME int lambda(int number) {
    std::function<int(int)> call = [number](int more) FRAME {
        int got = boom(number + more); // @corpus::lambda(int)::{lambda(int)#1}::operator()
        AND_RETURN;
        return got;
    };
    int got = call(2); // @corpus::lambda
    AND_RETURN;
    return got;
}

FRAME bool before(int left, int right) {
    *(volatile int *)hidden(0) = left + right; // @corpus::before
    return left < right;
}

FRAME int sorted(int number) {
    std::vector<int> numbers{5, 4, 3, number};
    std::sort(numbers.begin(), numbers.end(), before); // @corpus::sorted
    AND_RETURN;
    return numbers[0];
}

std::mutex gate;

FRAME void work(int number) {
    gate.lock(); // until the thread that made this one has done so
    until_others_sleep();
    boom(number); // @corpus::work
    AND_RETURN;
}

FRAME int threaded(int number) {
    gate.lock();
    std::thread one(work, number);
    gate.unlock(); // @corpus::threaded
    one.join(); // @corpus::threaded
    AND_RETURN;
    return 1;
}

#ifdef EARLY
struct Early {
    FRAME Early() {
        boom(1); // @corpus::Early::Early
        AND_RETURN;
    }
} early;
#endif

FRAME int quiet(int number) { return number; }

struct Sum {
    int value;
};

FRAME Sum operator+(const Sum &left, const Sum &right) {
    int got = boom(left.value + right.value); // @corpus::operator+
    AND_RETURN;
    return Sum{got};
}

FRAME int calculated(int number) {
    Sum got = Sum{number} + Sum{2}; // @corpus::calculated
    AND_RETURN;
    return got.value;
}

struct Last {
    FRAME ~Last() {
        boom(1); // @corpus::Last::~Last
        AND_RETURN;
    }
};

FRAME int destroyed(int number) {
    std::vector<Last> many(1);
    many.clear(); // @corpus::destroyed
    AND_RETURN;
    return number;
}

} // namespace corpus

int main(int count, char **) {
    int got = HOW(count); // @main
    AND_RETURN;
    return got;
}
