// SPDX-License-Identifier: MIT
// process_pool_options::preload: what runs once in the zygote, and is then in each worker.
#include <cadre/bind.hpp>
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "process/start_limits.hpp"
#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

// What preloads leave, in the zygote and its workers; this process never has it.
std::string loaded;
pid_t loaded_by = 0;

void load(std::string what) {
  loaded += what;
  loaded_by = ::getpid();
}
std::string ask() { return loaded; }
pid_t ask_who() { return loaded_by; }
void initialize() { loaded += " and initialized"; }

void note_a_run(gate_handle at) {
  arrive(at, 0);
  loaded = "noted";
}
void throw_at_first(gate_handle at) {
  if (count_arrival(at) == 1) throw std::runtime_error{"there is no model"};
  loaded = "found";
}
void load_slowly(gate_handle at) {
  pass(at, 0);
  loaded = "slowly";
}
void crash() { end_by(way::crashes); }
void start_thread() {
  std::thread{[] { ::pause(); }}.detach();
}
void never_end() {
  for (;;) ::pause();
}
void print_once() { std::fputs("said by the preload", stdout); }
pid_t helper = 0;
void start_helper() {
  helper = ::fork();
  if (helper == 0) {
    ::alarm(60);  // if it is left behind, it holds what the test prints to
    for (;;) ::pause();
  }
}
pid_t ask_for_helper() { return helper; }
void throw_long_words() { throw std::runtime_error{std::string(5'000'000, 'x')}; }
void change_signals_and_limits() {
  for (int s = 1; s < NSIG; ++s) ::signal(s, SIG_IGN);
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = 32;
  ::setrlimit(RLIMIT_NOFILE, &files);
}
bool has_default_signals() {
  struct sigaction usr1 {};
  ::sigaction(SIGUSR1, nullptr, &usr1);
  return usr1.sa_handler == SIG_DFL;
}
std::uint64_t ask_for_limit() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  return files.rlim_cur;
}
void end_thread() { ::pthread_exit(nullptr); }
int call_that_pools_in_preload() { return 1; }
void make_pool() {
  process_pool_executor pool{workers(1)};
  static_cast<void>(pool.submit(&call_that_pools_in_preload).get());
}

std::string failure_of_a_call_with(worker_function preload) {
  process_pool_options options = workers(1);
  options.preload = std::move(preload);
  process_pool_executor pool{std::move(options)};
  return failure_of<broken_executor>(pool.submit(&ask));
}

const child_program dies_while_its_preload_runs{"dies while its preload runs", [] {
                                                  process_pool_options options = workers(1);
                                                  options.preload = [] {
                                                    std::printf("%d\n", ::getpid());
                                                    std::fflush(stdout);
                                                    ::kill(::getppid(), SIGKILL);
                                                    never_end();
                                                  };
                                                  process_pool_executor pool{std::move(options)};
                                                  pool.submit(&ask).wait();
                                                  return 0;
                                                }};

}  // namespace

TEST(process_preload, is_in_each_worker_before_the_initializer) {
  process_pool_options options = workers(2);
  options.initializer = &initialize;
  options.preload = cadre::bind(&load, std::string{"model"});
  process_pool_executor pool{std::move(options)};

  EXPECT_EQ(pool.submit(&ask).get(), "model and initialized");
  EXPECT_EQ(loaded, "");
}

TEST(process_preload, runs_once_for_all_workers_and_all_pools_that_have_the_same) {
  const gate here;
  const auto options = [&] {
    process_pool_options o = workers(2);
    o.max_calls_per_worker = 1;
    o.preload = cadre::bind(&note_a_run, here.handle());
    return o;
  };
  process_pool_executor one{options()};
  process_pool_executor two{options()};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(one.submit(&ask).get(), "noted");
    EXPECT_EQ(two.submit(&ask).get(), "noted");
  }

  EXPECT_EQ(here.arrivals(), 1U);
}

TEST(process_preload, with_other_arguments_is_another_one) {
  process_pool_options a = workers(1);
  a.preload = cadre::bind(&load, std::string{"a"});
  process_pool_options b = workers(1);
  b.preload = cadre::bind(&load, std::string{"b"});
  process_pool_executor of_a{std::move(a)};
  process_pool_executor of_b{std::move(b)};
  process_pool_executor plain{workers(1)};

  EXPECT_EQ(of_a.submit(&ask).get(), "a");
  EXPECT_EQ(of_b.submit(&ask).get(), "b");
  EXPECT_EQ(plain.submit(&ask).get(), "");
  EXPECT_NE(of_a.submit(&ask_who).get(), of_b.submit(&ask_who).get());
}

TEST(process_preload, that_throws_fails_the_calls_with_its_words_and_is_tried_again_later) {
  const gate here;
  process_pool_options options = workers(2);
  options.preload = cadre::bind(&throw_at_first, here.handle());
  process_pool_executor pool{std::move(options)};

  const std::vector both{pool.submit(&ask), pool.submit(&ask)};
  for (const auto& f : both) {
    const std::string why = failure_of<broken_executor>(f);
    EXPECT_NE(why.find("preload"), std::string::npos) << why;
    EXPECT_NE(why.find("there is no model"), std::string::npos) << why;
  }
  EXPECT_EQ(pool.submit(&ask).get(), "found");
}

TEST(process_preload, that_crashes_fails_the_calls_with_its_name) {
  const std::string why = failure_of_a_call_with(&crash);
  EXPECT_NE(why.find("while it ran the preload"), std::string::npos) << why;
  EXPECT_NE(why.find("SIGSEGV"), std::string::npos) << why;
}

TEST(process_preload, that_starts_a_thread_is_refused) {
  const std::string why = failure_of_a_call_with(&start_thread);
  EXPECT_NE(why.find("has started a thread"), std::string::npos) << why;
}

TEST(process_preload, that_uses_a_pool_is_refused) {
  const std::string why = failure_of_a_call_with(&make_pool);
  EXPECT_NE(why.find("preload"), std::string::npos) << why;
}

TEST(process_preload, that_never_ends_is_ended_by_the_initializer_timeout) {
  process_pool_options options = workers(1);
  options.initializer_timeout = small_time;
  options.preload = &never_end;
  process_pool_executor pool{std::move(options)};

  const std::string why = failure_of<broken_executor>(pool.submit(&ask));
  EXPECT_NE(why.find("initializer_timeout"), std::string::npos) << why;
}

TEST(process_preload, that_never_ends_holds_no_pool_that_is_killed) {
  process_pool_options options = workers(2);
  options.preload = &never_end;
  process_pool_executor pool{std::move(options)};
  const auto f = pool.submit(&ask);

  EXPECT_FALSE(f.wait_for(short_time));
  pool.kill_workers();
  EXPECT_TRUE(pool.shutdown({.deadline = hang_limit}).complete);
  EXPECT_TRUE(f.cancelled());
}

TEST(process_preload, that_never_ends_holds_no_prestarted_pool_for_longer_than_end_grace) {
  process_pool_options options = workers(2);
  options.prestart = true;
  options.end_grace = small_time;
  options.preload = &never_end;
  std::optional<process_pool_executor> pool{std::move(options)};
  const auto begin = std::chrono::steady_clock::now();

  pool.reset();

  EXPECT_LT(std::chrono::steady_clock::now() - begin, medium_time);
}

// What it prints to is a pipe, which a zygote that is left would hold open.
TEST(process_preload, that_never_ends_ends_with_the_program) {
  const ended child = dies_while_its_preload_runs.run();

  EXPECT_EQ(child.signal, SIGKILL) << child;
  EXPECT_FALSE(child.timed_out) << child;
  const int zygote = std::atoi(child.out.c_str());
  ASSERT_GT(zygote, 0) << child;
  const auto deadline = std::chrono::steady_clock::now() + medium_time;
  while (::kill(zygote, 0) == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(::kill(zygote, 0), -1);
}

TEST(process_preload, that_takes_longer_than_a_zygote_may_be_silent_is_waited_for) {
  const gate here;
  process_pool_options options = workers(1);
  options.preload = cadre::bind(&load_slowly, here.handle());
  process_pool_executor pool{std::move(options)};
  const auto f = pool.submit(&ask);

  EXPECT_FALSE(f.wait_for((process::patience_ticks + 10) * process::tick));
  here.open();
  EXPECT_EQ(f.get(), "slowly");
  EXPECT_EQ(here.arrivals(), 1U) << "its zygote was given up, and replaced";
}

TEST(process_preload, prints_once) {
  testing::internal::CaptureStdout();
  {
    process_pool_options options = workers(2);
    options.max_calls_per_worker = 1;
    options.preload = &print_once;
    process_pool_executor pool{std::move(options)};
    for (int i = 0; i < 3; ++i) pool.submit(&ask).get();
  }
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "said by the preload");
}

TEST(process_preload, that_starts_a_process_has_it_until_the_last_pool_ends) {
  pid_t its_helper = 0;
  {
    process_pool_options options = workers(1);
    options.max_calls_per_worker = 1;
    options.preload = &start_helper;
    process_pool_executor pool{std::move(options)};
    its_helper = pool.submit(&ask_for_helper).get();
    EXPECT_EQ(pool.submit(&ask_for_helper).get(), its_helper);
    EXPECT_EQ(::kill(its_helper, 0), 0);
  }
  EXPECT_EQ(::kill(its_helper, 0), -1);
}

TEST(process_preload, that_throws_many_words_is_told_by_the_first_of_them) {
  const std::string why = failure_of_a_call_with(&throw_long_words);
  EXPECT_NE(why.find("threw \"xxx"), std::string::npos) << why.substr(0, 300);
}

TEST(process_preload, changes_neither_signals_nor_limits_of_workers) {
  const std::uint64_t here = ask_for_limit();
  const auto begin = std::chrono::steady_clock::now();
  {
    process_pool_options options = workers(1);
    options.preload = &change_signals_and_limits;
    process_pool_executor pool{std::move(options)};

    EXPECT_TRUE(pool.submit(&has_default_signals).get());
    EXPECT_EQ(pool.submit(&ask_for_limit).get(), here);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, small_time)
      << "the zygote misses its signals";
}

TEST(process_preload, that_ends_its_thread_is_told_so) {
  const std::string why = failure_of_a_call_with(&end_thread);
  EXPECT_NE(why.find("pthread_exit"), std::string::npos) << why;
}

TEST(process_preload, is_for_workers_of_the_zygote_only) {
  for (const auto method : {start_method::exec, start_method::fork}) {
    process_pool_options options = one_worker_by(method);
    options.preload = &print_once;
    EXPECT_THROW(process_pool_executor{std::move(options)}, std::invalid_argument);
  }
}

}  // namespace cadre::test
