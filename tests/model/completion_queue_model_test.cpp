// SPDX-License-Identifier: MIT
// A completion_queue under every schedule. Its eventfd is a real one; to read and to write it are
// steps of their own.
#include <cadre/completion_queue.hpp>
#include <cadre/promise.hpp>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

#include "holds.hpp"

namespace cadre_model {
namespace {

using cadre::completion_queue;
using cadre::future;
using cadre::promise;
using cadre::sync::atomic;

/// While it lives, each system call with the descriptor begins with a step.
class stepwise {
 public:
  explicit stepwise(int fd) : fd_{fd} { here = this; }
  ~stepwise() { here = nullptr; }
  stepwise(const stepwise&) = delete;
  stepwise& operator=(const stepwise&) = delete;

  static void step(int fd) {
    if (here != nullptr && here->fd_ == fd) here->calls_.fetch_add(1);
  }

 private:
  static inline stepwise* here = nullptr;
  int fd_;
  atomic<int> calls_{0};
};

bool is_readable(const completion_queue& q) {
  pollfd fd{.fd = q.native_handle(), .events = POLLIN, .revents = 0};
  return ::poll(&fd, 1, 0) == 1;
}

}  // namespace
}  // namespace cadre_model

// In place of the system's, in the whole program.
extern "C" {

ssize_t read(int fd, void* data, std::size_t size) {
  cadre_model::stepwise::step(fd);
  return ::syscall(SYS_read, fd, data, size);
}

ssize_t write(int fd, const void* data, std::size_t size) {
  cadre_model::stepwise::step(fd);
  return ::syscall(SYS_write, fd, data, size);
}

}  // extern "C"

namespace cadre_model {
namespace {

// Red when drain() silences the descriptor after its last look at what is ready.
TEST(completion_queue_model, what_is_done_is_drained_or_heard) {
  EXPECT_TRUE(holds([] {
    promise<int> a;
    promise<int> b;
    int ran_a = 0;
    int ran_b = 0;
    completion_queue q;
    const stepwise bell{q.native_handle()};
    q.watch(a.get_future(), [&](const future<int>&) { ++ran_a; });
    q.watch(b.get_future(), [&](const future<int>&) { ++ran_b; });

    in_parallel([&] { a.set_value(1); }, [&] { b.set_value(2); }, [&] { q.drain(); });

    check((ran_a == 1 && ran_b == 1) || is_readable(q), "the loop will come back");
    q.drain();
    check(ran_a == 1 && ran_b == 1, "each callback has run once");
    check(!is_readable(q), "there is nothing more to drain");
  }));
}

// Red when a listener has no share in the list, or the list none in the listener.
TEST(completion_queue_model, may_be_destroyed_while_a_future_becomes_done) {
  EXPECT_TRUE(holds([] {
    promise<int> a;
    bool called = false;
    auto q = std::make_unique<completion_queue>();
    const stepwise bell{q->native_handle()};
    q->watch(a.get_future(), [&](const future<int>&) { called = true; });

    in_parallel([&] { a.set_value(1); }, [&] { q.reset(); });

    check(!called, "nobody has drained");
  }));
}

}  // namespace
}  // namespace cadre_model
