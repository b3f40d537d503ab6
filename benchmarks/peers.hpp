// SPDX-License-Identifier: MIT
// One adapter per pool, all with two workers and the same two members:
//
//     submit(f)    runs f() on a worker; what it returns has get()
//     post(f)      the same without a result
//
// A peer without futures gets std::promise, as its users would.
#pragma once

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#include <boost/asio/packaged_task.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cadre/cadre.hpp>
#include <future>
#include <memory>
#include <utility>

#include "harness.hpp"

namespace bench {

/// What an adapter inherits unless it knows better.
struct pool_base {
  /// How many of its workers one producer can keep busy.
  static constexpr int workers = bench::workers;

  /// A slow pool makes this share of the calls. Its results are per call, so they stay comparable.
  static constexpr double call_share = 1;
};

class cadre_threads : public pool_base {
 public:
  template <typename F>
  auto submit(F f) {
    return pool_.submit(std::move(f));
  }

  template <typename F>
  void post(F f) {
    pool_.post(std::move(f));
  }

 private:
  cadre::thread_pool_executor pool_{{.max_workers = workers}};
};

class boost_asio : public pool_base {
 public:
  ~boost_asio() { pool_.join(); }

  template <typename F>
  std::future<void> submit(F f) {
    return boost::asio::post(pool_, std::packaged_task<void()>{std::move(f)});
  }

  template <typename F>
  void post(F f) {
    boost::asio::post(pool_, std::move(f));
  }

 private:
  boost::asio::thread_pool pool_{workers};
};

/// A call with the promise of its end. Its members are mutable because oneTBB calls tasks const.
template <typename F>
struct promised {
  mutable F call;
  mutable std::promise<void> done{};

  void operator()() const {
    call();
    done.set_value();
  }
};

/// Lets oneTBB start two threads besides the caller's. Its default is one fewer than there are
/// CPUs, because its own waits, unlike std::future's, make the caller work.
class tbb_threads : public pool_base {
 private:
  tbb::global_control limit_{tbb::global_control::max_allowed_parallelism, bench::workers + 1};
};

/// Runs in the caller's implicit arena, which has as many threads as there are CPUs, the caller
/// included: one worker on a machine of two CPUs. An arena with two workers makes it slower there
/// (1,250 against 550 ns in submit_get), so this is the form to beat.
class tbb_task_group : public tbb_threads {
 public:
  static constexpr int workers = 1;

  ~tbb_task_group() { group_.wait(); }

  template <typename F>
  std::future<void> submit(F f) {
    promised<F> task{std::move(f)};
    auto done = task.done.get_future();
    group_.run(std::move(task));
    return done;
  }

  template <typename F>
  void post(F f) {
    group_.run(std::move(f));
  }

 private:
  tbb::task_group group_;
};

class tbb_arena : public tbb_threads {
 public:
  template <typename F>
  std::future<void> submit(F f) {
    promised<F> task{std::move(f)};
    auto done = task.done.get_future();
    arena_.enqueue(std::move(task));
    return done;
  }

  template <typename F>
  void post(F f) {
    arena_.enqueue(std::move(f));
  }

 private:
  tbb::task_arena arena_{workers, 0};
};

/// Takes std::function, hence the shared_ptr around what cannot be copied. When its queues of
/// 1,024 calls are full, it runs the call in the caller.
class eigen : public pool_base {
 public:
  template <typename F>
  std::future<void> submit(F f) {
    auto task = std::make_shared<promised<F>>(std::move(f));
    auto done = task->done.get_future();
    pool_.Schedule([task = std::move(task)] { (*task)(); });
    return done;
  }

  template <typename F>
  void post(F f) {
    pool_.Schedule(std::move(f));
  }

 private:
  Eigen::ThreadPool pool_{workers};
};

/// A thread per call, so it has no workers. It has no post() either: the destructor of its
/// future waits.
class std_async : public pool_base {
 public:
  static constexpr double call_share = 0.01;

  template <typename F>
  std::future<void> submit(F f) {
    return std::async(std::launch::async, std::move(f));
  }
};

}  // namespace bench
