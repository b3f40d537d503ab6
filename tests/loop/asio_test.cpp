// SPDX-License-Identifier: MIT
// Calls as operations of Asio. Compiled twice: with standalone Asio and with Boost.Asio.
#include <cadre/asio.hpp>
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/thread_pool_executor.hpp>

#ifdef CADRE_BOOST_ASIO
#include <boost/asio.hpp>
namespace net = boost::asio;
#else
#include <asio.hpp>
namespace net = asio;
#endif

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

int answer() { return 42; }
int die() { std::abort(); }

[[maybe_unused]] int until_stopped(std::stop_token stop, std::latch* running) {
  running->count_down();
  while (!stop.stop_requested()) std::this_thread::yield();
  return 7;
}

// In a process of its own: for handlers without an executor Asio keeps threads until exit.
const child_program uses_std_futures{"uses std futures", [] {
                                       thread_pool_executor pool{1};
                                       async_submit(
                                           pool, [] {}, net::use_future)
                                           .get();
                                       return async_submit(pool, &answer, net::use_future).get();
                                     }};

template <typename Error>
bool is(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const Error&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

TEST(asio_submit, a_callback_gets_the_result_on_the_loops_thread) {
  net::io_context loop;
  thread_pool_executor pool{1};
  std::thread::id where;
  int result = 0;

  async_submit(pool, &answer, net::bind_executor(loop, [&](std::exception_ptr e, int value) {
                 where = std::this_thread::get_id();
                 if (e == nullptr) result = value;
               }));
  loop.run();

  EXPECT_EQ(result, 42);
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST(asio_submit, a_callback_gets_the_exception) {
  net::io_context loop;
  thread_pool_executor pool{1};
  std::exception_ptr error;

  async_submit(
      pool, []() -> int { throw std::domain_error{"as expected"}; },
      net::bind_executor(loop, [&](std::exception_ptr e, int) { error = e; }));
  loop.run();

  ASSERT_NE(error, nullptr);
  EXPECT_TRUE(is<std::domain_error>(error));
}

TEST(asio_submit, the_handler_never_runs_inside_the_initiating_function) {
  net::io_context loop;
  thread_pool_executor pool{1};
  auto f = pool.submit(&answer);
  f.wait();
  bool called = false;

  async_get(f, net::bind_executor(loop, [&](std::exception_ptr, int) { called = true; }));

  EXPECT_FALSE(called);
  loop.run();
  EXPECT_TRUE(called);
}

TEST(asio_submit, the_loop_does_not_run_out_of_work_meanwhile) {
  const gate here;
  net::io_context loop;
  thread_pool_executor pool{1};
  bool called = false;
  async_submit(
      pool, [at = here.handle()] { return pass(at, 1); },
      net::bind_executor(loop, [&](std::exception_ptr, int) { called = true; }));
  here.await_arrivals(1);

  loop.poll();
  EXPECT_FALSE(loop.stopped());
  here.open();
  loop.run();

  EXPECT_TRUE(called);
}

TEST(asio_submit, gives_a_std_future_for_use_future) {
  const ended child = uses_std_futures.run();

  EXPECT_EQ(child.exit_code, 42) << child;
}

TEST(asio_submit, a_call_that_is_refused_completes_with_the_reason) {
  net::io_context loop;
  thread_pool_executor pool{1};
  pool.shutdown();
  std::exception_ptr error;

  async_submit(pool, &answer,
               net::bind_executor(loop, [&](std::exception_ptr e, int) { error = e; }));
  loop.run();

  EXPECT_TRUE(is<shutdown_error>(error));
}

TEST(asio_submit, moves_values_that_cannot_be_copied) {
  net::io_context loop;
  thread_pool_executor pool{1};
  std::unique_ptr<int> result;

  async_submit(
      pool, {.name = "make"}, [] { return std::make_unique<int>(42); },
      net::bind_executor(loop, [&](std::exception_ptr, std::unique_ptr<int> value) {
        result = std::move(value);
      }));
  loop.run();

  ASSERT_NE(result, nullptr);
  EXPECT_EQ(*result, 42);
}

TEST(asio_submit, of_an_lvalue_future_others_can_still_read_the_value) {
  net::io_context loop;
  thread_pool_executor pool{1};
  const auto f = pool.submit([] { return std::string{"shared"}; });
  std::string result;

  async_get(f, net::bind_executor(loop, [&](std::exception_ptr, std::string value) {
              result = std::move(value);
            }));
  loop.run();

  EXPECT_EQ(result, "shared");
  EXPECT_EQ(f.get(), "shared");
}

TEST(asio_submit, a_future_that_is_cancelled_completes_the_operation) {
  net::io_context loop;
  const gate here;
  thread_pool_executor pool{1};
  const auto busy = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  const auto f = pool.submit(&answer);
  std::exception_ptr error;
  async_get(f, net::bind_executor(loop, [&](std::exception_ptr e, int) { error = e; }));

  f.cancel();
  loop.run();
  here.open();

  EXPECT_TRUE(is<cancelled_error>(error));
}

TEST(asio_submit, a_crash_in_a_worker_process_is_an_exception_of_the_operation) {
  net::io_context loop;
  process_pool_executor pool{1};
  std::exception_ptr error;
  int good = 0;

  async_submit(pool, &die, net::bind_executor(loop, [&](std::exception_ptr e, int) { error = e; }));
  async_submit(pool, &answer,
               net::bind_executor(loop, [&](std::exception_ptr, int value) { good = value; }));
  loop.run();

  EXPECT_TRUE(is<worker_died>(error));
  EXPECT_EQ(good, 42);
}

TEST(asio_submit, a_loop_that_stops_early_leaves_the_call_to_its_pool) {
  const gate here;
  bool called = false;
  {
    net::io_context loop;
    thread_pool_executor pool{1};
    async_submit(
        pool, [at = here.handle()] { return pass(at, 1); },
        net::bind_executor(loop, [&](std::exception_ptr, int) { called = true; }));
    here.await_arrivals(1);
    net::post(loop, [&] { loop.stop(); });
    loop.run();
    here.open();
    pool.shutdown();
    EXPECT_EQ(pool.stats().finished, 1U);
  }

  EXPECT_FALSE(called);
}

TEST(asio_submit, thousands_complete_each_once) {
  constexpr int count = 5'000;
  net::io_context loop;
  thread_pool_executor pool{2};
  long sum = 0;
  for (int i = 0; i < count; ++i) {
    async_submit(
        pool, [i] { return i; },
        net::bind_executor(loop, [&](std::exception_ptr, int value) { sum += value; }));
  }

  loop.run();

  EXPECT_EQ(sum, static_cast<long>(count) * (count - 1) / 2);
}

#if defined(ASIO_HAS_CO_AWAIT) || defined(BOOST_ASIO_HAS_CO_AWAIT)

namespace {

net::awaitable<int> sum_of_two(executor& cpu) {
  const int a = co_await async_submit(cpu, &answer, net::use_awaitable);
  const int b = co_await async_submit(cpu, &answer, net::use_awaitable);
  co_return a + b;
}

net::awaitable<bool> catches(thread_pool_executor& pool) {
  auto call = []() -> int { throw std::domain_error{"as expected"}; };
  try {
    co_await async_submit(pool, call, net::use_awaitable);
  } catch (const std::domain_error&) {
    co_return true;
  }
  co_return false;
}

}  // namespace

TEST(asio_coroutine, awaits_calls_of_any_executor) {
  net::io_context loop;
  thread_pool_executor pool{1};
  auto sum = net::co_spawn(loop, sum_of_two(pool), net::use_future);

  loop.run();

  EXPECT_EQ(sum.get(), 84);
}

TEST(asio_coroutine, an_exception_arrives_at_the_await) {
  net::io_context loop;
  thread_pool_executor pool{1};
  auto caught = net::co_spawn(loop, catches(pool), net::use_future);

  loop.run();

  EXPECT_TRUE(caught.get());
}

#endif

#ifdef CADRE_ASIO_CANCELS

TEST(asio_cancel, a_running_call_is_asked_to_stop) {
  net::io_context loop;
  thread_pool_executor pool{1};
  std::latch running{1};
  net::cancellation_signal signal;
  int result = 0;
  async_submit(
      pool, [&](std::stop_token stop) { return until_stopped(std::move(stop), &running); },
      net::bind_cancellation_slot(
          signal.slot(),
          net::bind_executor(loop, [&](std::exception_ptr, int value) { result = value; })));
  running.wait();

  signal.emit(net::cancellation_type::terminal);
  loop.run();

  EXPECT_EQ(result, 7);
}

TEST(asio_cancel, a_pending_call_never_runs) {
  const gate here;
  net::io_context loop;
  thread_pool_executor pool{1};
  const auto busy = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  std::atomic<bool> ran{false};
  std::exception_ptr error;
  net::cancellation_signal signal;
  async_submit(
      pool, [&] { ran = true; },
      net::bind_cancellation_slot(
          signal.slot(), net::bind_executor(loop, [&](std::exception_ptr e) { error = e; })));

  signal.emit(net::cancellation_type::total);
  loop.run();
  here.open();
  pool.shutdown();

  EXPECT_TRUE(is<cancelled_error>(error));
  EXPECT_FALSE(ran);
}

TEST(asio_cancel, a_call_that_is_done_keeps_its_result) {
  net::io_context loop;
  thread_pool_executor pool{1};
  const auto f = pool.submit(&answer);
  f.wait();
  net::cancellation_signal signal;
  int result = 0;
  async_get(f, net::bind_cancellation_slot(
                   signal.slot(), net::bind_executor(loop, [&](std::exception_ptr, int value) {
                     result = value;
                   })));

  signal.emit(net::cancellation_type::terminal);
  loop.run();

  EXPECT_EQ(result, 42);
  EXPECT_EQ(f.get(), 42);
}

TEST(asio_cancel, total_does_not_stop_what_runs) {
  const gate here;
  net::io_context loop;
  thread_pool_executor pool{1};
  net::cancellation_signal signal;
  bool stopped = true;
  async_submit(
      pool,
      [at = here.handle()](std::stop_token stop) {
        pass(at, 0);
        return stop.stop_requested();
      },
      net::bind_cancellation_slot(
          signal.slot(),
          net::bind_executor(loop, [&](std::exception_ptr, bool value) { stopped = value; })));
  here.await_arrivals(1);

  signal.emit(net::cancellation_type::total);
  here.open();
  loop.run();

  EXPECT_FALSE(stopped);
}

#endif

#if defined(CADRE_ASIO_CANCELS) && defined(ASIO_HAS_CO_AWAIT)
}  // namespace cadre::test

#include <asio/experimental/awaitable_operators.hpp>

namespace cadre::test {
namespace {

net::awaitable<bool> times_out(thread_pool_executor& pool, std::latch& running) {
  using namespace net::experimental::awaitable_operators;
  net::steady_timer timer{co_await net::this_coro::executor, short_time};
  auto call = [&running](std::stop_token stop) { return until_stopped(std::move(stop), &running); };
  auto either =
      async_submit(pool, call, net::use_awaitable) || timer.async_wait(net::use_awaitable);
  const auto first = co_await std::move(either);
  co_return first.index() == 1;
}

}  // namespace

TEST(asio_cancel, the_loser_of_an_or_is_asked_to_stop) {
  net::io_context loop;
  thread_pool_executor pool{1};
  std::latch running{1};
  auto timed_out = net::co_spawn(loop, times_out(pool, running), net::use_future);

  loop.run();  // the call ends, or this does not

  EXPECT_TRUE(timed_out.get());
  EXPECT_EQ(pool.stats().finished, 1U);
}

#endif

}  // namespace cadre::test
