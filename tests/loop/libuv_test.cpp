// SPDX-License-Identifier: MIT
// A completion_queue in a loop of libuv.
#include <cadre/completion_queue.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>
#include <uv.h>

namespace cadre::test {

namespace {

/// libuv keeps two descriptors from its first loop on.
class completion_queue_in_libuv : public testing::Test {
 public:
  static void SetUpTestSuite() {
    uv_loop_t first;
    uv_loop_init(&first);
    uv_loop_close(&first);
  }
};

}  // namespace

TEST_F(completion_queue_in_libuv, every_future_arrives_on_the_loops_thread) {
  constexpr int count = 2'000;
  thread_pool_executor pool{2};
  completion_queue done;
  uv_loop_t loop;
  uv_poll_t handle;
  ASSERT_EQ(uv_loop_init(&loop), 0);
  ASSERT_EQ(uv_poll_init(&loop, &handle, done.native_handle()), 0);
  handle.data = &done;
  uv_poll_start(&handle, UV_READABLE,
                [](uv_poll_t* h, int, int) { static_cast<completion_queue*>(h->data)->drain(); });
  int seen = 0;
  long sum = 0;

  for (int i = 0; i < count; ++i) {
    done.watch(pool.submit([i] { return i; }), [&](future<int> f) {
      sum += f.get();
      if (++seen == count) uv_close(reinterpret_cast<uv_handle_t*>(&handle), nullptr);
    });
  }
  uv_run(&loop, UV_RUN_DEFAULT);

  EXPECT_EQ(seen, count);
  EXPECT_EQ(sum, static_cast<long>(count) * (count - 1) / 2);
  EXPECT_EQ(uv_loop_close(&loop), 0);
}

}  // namespace cadre::test
