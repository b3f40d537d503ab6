// SPDX-License-Identifier: MIT
// How long is one call int -> int on its way to a worker process and back, when the next follows at
// once?
#include <cadre/inline_executor.hpp>
#include <cadre/process_pool_executor.hpp>

#include <sys/mman.h>

#include <atomic>
#include <new>

#include "processes.hpp"

namespace {

int same(int n) { return n; }

template <typename Call>
void measure_calls(const bench::report& report, int calls, Call call,
                   std::string_view variant = {}) {
  bench::measure_calls(
      report, variant, calls, [] {}, call);
}

/// Quiet, and beside others.
template <typename Measure>
void measure_variants(int calls, Measure measure) {
  for (const char* variant : {"", "crowded", "one_busy"}) {
    const bench::company beside{variant};
    bench::in_fresh_process([&] { measure(*variant == '\0' ? calls : calls / 5, variant); });
  }
}

void measure_cadre(const bench::report& report) {
  measure_variants(50'000, [&](int calls, const char* variant) {
    cadre::process_pool_executor pool{bench::workers};
    measure_calls(
        report, calls, [&](int i) { pool.submit(&same, i).get(); }, variant);
  });
}

/// No other process: what a call and its future take by themselves.
void measure_inline(const bench::report& report) {
  cadre::inline_executor here;
  cadre::executor& any = here;
  measure_calls(report, 50'000, [&](int i) { any.submit(&same, i).get(); });
}

template <typename Workers>
void measure(const bench::report& report) {
  measure_variants(20'000, [&](int calls, const char* variant) {
    Workers peer;
    const auto call = [&](int i) {
      peer.send(0, std::as_bytes(std::span{&i, 1}));
      peer.receive(0, std::as_writable_bytes(std::span{&i, 1}));
    };
    measure_calls(report, calls, call, variant);
  });
}

/// No pool: one word to another process and one back, each on a line of its own. Nothing that goes
/// through shared memory can take less.
void measure_lines(const bench::report& report) {
  struct lines {
    alignas(64) std::atomic<int> there{0};
    alignas(64) std::atomic<int> back{0};
  };
  void* const memory =
      mmap(nullptr, sizeof(lines), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::exit(EXIT_FAILURE);
  auto& shared = *new (memory) lines;
  constexpr int last = -1;
  const pid_t peer = fork();
  if (peer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int seen = 0; seen != last;) {
      const int now = shared.there.load(std::memory_order_acquire);
      if (now != seen) shared.back.store(seen = now, std::memory_order_release);
    }
    _exit(0);
  }
  measure_calls(report, 50'000, [&, turn = 0](int) mutable {
    shared.there.store(++turn, std::memory_order_release);
    while (shared.back.load(std::memory_order_acquire) != turn) {
    }
  });
  shared.there.store(last);
  waitpid(peer, nullptr, 0);
}

void measure_forks(const bench::report& report) {
  measure_calls(report, 500, [](int) { bench::forked([] {}); });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("proc_latency", argc, argv,
                    {{"cadre", measure_cadre},
                     {"pipe", measure<bench::pipe_workers>},
                     {"unix_socket", measure<bench::socket_workers>},
                     {"boost_mq", measure<bench::queue_workers>},
                     {"shared_lines", measure_lines},
                     {"inline", measure_inline},
                     {"fork_per_call", measure_forks}});
}
