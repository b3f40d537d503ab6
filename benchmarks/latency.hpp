// SPDX-License-Identifier: MIT
// The round trip of one empty call, for latency_hot and latency_cold.
//
// Two variants on a quiet machine, because the kernel may pack caller and worker onto one CPU, where a wake-up is
// 20 times cheaper: "free" leaves them to it, "x" pins them to different CPUs. Two more, "crowded" and
// "one_busy", are as "free", but beside processes that never sleep.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "peers.hpp"

namespace bench {

/// The lower bound: two threads and two words, one a direction, with the spin that cadre has
/// (pauses for 1 us, then a yield a turn, 20 us in all, then the futex). No queue, no callable.
class futex_ping_pong : public pool_base {
 public:
  ~futex_ping_pong() {
    stop_ = true;
    there_.send();
    thread_.join();
  }

  template <typename F>
  futex_ping_pong& submit(F) {
    there_.send();
    return *this;
  }

  void get() { back_.receive(); }

  void pin_worker(int cpu) {
    cpu_to_pin_to_ = cpu;
    submit(nullptr).get();
  }

 private:
  static constexpr int no_cpu = -1;

  /// Counts messages in steps of two; bit 0 says that the receiver sleeps.
  class alignas(64) word {
   public:
    void send() {
      sent_ += 2;
      // release: pairs with the acquire in receive(), for what was written before the message.
      const std::uint32_t old = value_.exchange(sent_, std::memory_order_acq_rel);
      if (old & asleep) futex(FUTEX_WAKE_PRIVATE, 1);
    }

    void receive() {
      received_ += 2;
      if (spin()) return;
      std::uint32_t old = received_ - 2;
      // acquire: pairs with the release in send(), here and in spin().
      if (!value_.compare_exchange_strong(old, old | asleep, std::memory_order_acquire)) return;
      while (value_.load(std::memory_order_acquire) != received_) {
        futex(FUTEX_WAIT_PRIVATE, (received_ - 2) | asleep);
      }
    }

   private:
    static constexpr std::uint32_t asleep = 1;

    bool arrived() const { return value_.load(std::memory_order_acquire) == received_; }

    bool spin() const {
      constexpr int pauses_in_1_us = 64;  // one takes 16 ns on the machine of RESULTS.md
      for (int i = 0; i < pauses_in_1_us; ++i) {
        if (arrived()) return true;
        __builtin_ia32_pause();
      }
      const auto end = clock::now() + std::chrono::microseconds{19};
      do {
        if (arrived()) return true;
        sched_yield();
      } while (clock::now() < end);
      return false;
    }

    void futex(int operation, std::uint32_t argument) {
      syscall(SYS_futex, &value_, operation, argument, nullptr, nullptr, 0);
    }

    std::atomic<std::uint32_t> value_{0};
    alignas(64) std::uint32_t sent_ = 0;      // sender only
    alignas(64) std::uint32_t received_ = 0;  // receiver only
  };

  void answer() {
    for (;;) {
      there_.receive();
      if (stop_) return;
      if (cpu_to_pin_to_ != no_cpu) pin_this_thread(std::exchange(cpu_to_pin_to_, no_cpu));
      back_.send();
    }
  }

  word there_;
  word back_;
  bool stop_ = false;  // this and the next travel with the messages
  int cpu_to_pin_to_ = no_cpu;
  std::thread thread_{[this] { answer(); }};
};

template <typename Pool>
void pin_workers(Pool& pool, int cpu) {
  on_every_worker(pool, [cpu] { pin_this_thread(cpu); });
}

inline void pin_workers(futex_ping_pong& pair, int cpu) { pair.pin_worker(cpu); }

/// Times `calls` round trips, with `pause` between them, after a tenth that is not timed.
template <typename Pool>
void measure_latency(const report& report, std::string_view variant, int calls,
                     std::chrono::milliseconds pause) {
  const company beside{variant};
  in_fresh_process([&] {
    Pool pool;
    if (variant == "x") {
      pin_workers(pool, 1);
      pin_this_thread(0);
    }
    const auto rest = [pause] {
      if (pause.count() > 0) std::this_thread::sleep_for(pause);
    };
    measure_calls(report, variant, calls, rest, [&](int) { pool.submit([] {}).get(); });
  });
}

}  // namespace bench
