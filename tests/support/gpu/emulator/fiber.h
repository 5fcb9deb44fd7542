// Fibers: stacks that a thread switches between.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)

/// A stack pointer; everything else is on the stack. ucontext's switch asks the
/// system to change the signal mask each time, which takes ten times as long as
/// the rest.
struct Fiber {
    void* stack = nullptr;
};

extern "C" void emulator_switch(void** from, void* to);
asm(R"(
.text
.local emulator_switch
.type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulator_switch, .-emulator_switch
)");

inline void switch_fiber(Fiber& from, Fiber& to) { emulator_switch(&from.stack, to.stack); }

inline void begin_fiber(Fiber&) {}

inline void start_fiber(Fiber& fiber, char* stack, std::size_t size, void (*body)()) {
    auto top = reinterpret_cast<std::uintptr_t>(stack + size) & ~std::uintptr_t(15);
    void** at = reinterpret_cast<void**>(top);
    *--at = nullptr;  // as if called: a return address, which keeps the alignment
                      // of the ABI
    *--at = reinterpret_cast<void*>(body);
    for (int i = 0; i < 6; ++i) *--at = nullptr;  // the registers that a switch restores
    fiber.stack = at;
}

#else

struct Fiber {
    ucontext_t context;
    const void* stack = nullptr;
    std::size_t size = 0;
    void* fake_stack = nullptr;
};

inline void switch_fiber(Fiber& from, Fiber& to) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.size);
#endif
    swapcontext(&from.context, &to.context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

/// First thing in a fiber's body: the sanitizer learns where it came from.
inline void begin_fiber([[maybe_unused]] Fiber& from) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &from.stack, &from.size);
#endif
}

inline void start_fiber(Fiber& fiber, char* stack, std::size_t size, void (*body)()) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = size;
    fiber.context.uc_link = nullptr;
    fiber.stack = stack;
    fiber.size = size;
    makecontext(&fiber.context, body, 0);
}

#endif

/// Stacks for the threads of a block, kept from one launch to the next.
class Stacks {
  public:
    static constexpr std::size_t kSize = 128 << 10;

    void provide(unsigned count) {
        if (count > count_) memory_.reset(new char[count * kSize]);
        if (count > count_) count_ = count;
    }
    char* of(unsigned thread) { return memory_.get() + thread * kSize; }

  private:
    unsigned count_ = 0;
    std::unique_ptr<char[]> memory_;
};

}  // namespace emulator
