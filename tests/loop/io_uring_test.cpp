// SPDX-License-Identifier: MIT
// A completion_queue in a loop of io_uring.
#include <cadre/completion_queue.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>
#include <liburing.h>
#include <poll.h>

#include <cstring>

namespace cadre::test {

TEST(completion_queue_in_io_uring, every_future_arrives_on_the_loops_thread) {
  io_uring ring{};
  if (const int error = io_uring_queue_init(8, &ring, 0); error < 0) {
    GTEST_SKIP() << "the kernel refuses io_uring here: " << std::strerror(-error);
  }
  constexpr int count = 2'000;
  long sum = 0;
  int seen = 0;
  {
    thread_pool_executor pool{2};
    completion_queue done;
    for (int i = 0; i < count; ++i) {
      done.watch(pool.submit([i] { return i; }), [&](future<int> f) {
        sum += f.get();
        ++seen;
      });
    }
    while (seen < count) {
      io_uring_sqe* poll = io_uring_get_sqe(&ring);
      io_uring_prep_poll_add(poll, done.native_handle(), POLLIN);
      ASSERT_EQ(io_uring_submit(&ring), 1);
      io_uring_cqe* readable = nullptr;
      ASSERT_EQ(io_uring_wait_cqe(&ring, &readable), 0);
      io_uring_cqe_seen(&ring, readable);
      done.drain();
    }
  }
  io_uring_queue_exit(&ring);

  EXPECT_EQ(sum, static_cast<long>(count) * (count - 1) / 2);
}

}  // namespace cadre::test
