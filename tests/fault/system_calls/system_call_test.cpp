// SPDX-License-Identifier: MIT
// The n-th system call of a pool's life fails, for each kind of call and error and each n: an exception
// names the error, or nothing is noticed. No call is lost, nothing hangs or is left behind, and the
// program goes on. In this process, and in the zygote and its workers.
#include <cadre/hooks.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "fault/pool_story.hpp"
#include "fault/stepping.hpp"
#include "fault/system_calls/failing_calls.hpp"

namespace cadre::test {
namespace {

void calm() { static_cast<void>(allow_calls()); }

/// What errors may name as their cause.
const std::vector<std::string_view> causes{
    "Too many open files",     "Cannot allocate memory",  "Resource temporarily unavailable",
    "No space left on device", "Interrupted system call", "No buffer space available"};

/// And those of calls whose worker, or the zygote, could not go on.
std::vector<std::string_view> causes_in_children() {
  std::vector<std::string_view> all = causes;
  all.insert(all.end(), {"was killed by SIG", "exited with code", "could not start a worker"});
  return all;
}

void complain_and_exit(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(EXIT_FAILURE);
}

std::string name_of(unsigned which, long n) {
  const failure& f = failures()[which];
  return std::string{f.call} + " number " + std::to_string(n) + " fails with " +
         std::to_string(f.error);
}

/// One way to fail; how many n there are for it.
struct series {
  unsigned which;
  long count;
};

/// Goes through all n of all series, every so manieth, from the one that the environment says.
template <typename Story>
int go_through(const std::vector<series>& all, const Story& tell) {
  const long stride = step_stride();
  const resources before;
  step_watchdog watchdog{&calm};
  long step = 0;
  for (const auto [which, count] : all) {
    for (long n = 0; n < count; ++n, ++step) {
      if (step < number_from_environment(first_step_name) || step % stride != 0) continue;
      watchdog.begin_step();
      print_step(step);
      std::fprintf(stderr, "%s\n", name_of(which, n).c_str());
      tell(which, n);
      // A thread more: the watchdog.
      const std::string left = resources{}.more_than({before.descriptors, before.threads + 1});
      if (!left.empty()) complain_and_exit(left);
    }
  }
  return EXIT_SUCCESS;
}

template <typename Pool>
void tell_here(unsigned which, long n) {
  pool_story story{causes, &calm};
  fail_call(which, n);
  story.tell<Pool>();
  calm();
  if (!story.complaint().empty()) complain_and_exit(story.complaint());
}

template <typename Pool>
int fail_here() {
  set_unhandled_hook([](const unhandled&) noexcept {});
  constexpr long none = 1L << 40;
  tell_here<Pool>(0, none);  // what is kept on purpose is there
  std::vector<series> all;
  for (unsigned which = 0; which < failures().size(); ++which) {
    pool_story story{causes, [] {}};
    fail_call(which, none);
    story.tell<Pool>();
    // Waits are as many as there are: some of each.
    all.push_back({which, std::min(allow_calls(), 25L)});
  }
  return go_through(all, &tell_here<Pool>);
}

/// In each zygote, and in each worker that it forks, from their start on.
int fail_in_children() {
  set_unhandled_hook([](const unhandled&) noexcept {});
  const std::vector<std::string_view> all_causes = causes_in_children();
  unsigned errors = 0;
  const auto tell = [&](unsigned which, long n) {
    ::setenv(failing_call_name, (std::to_string(which) + ' ' + std::to_string(n)).c_str(), 1);
    pool_story story{all_causes, &calm};
    story.tell<process_pool_executor>();
    errors += story.errors();
    ::unsetenv(failing_call_name);
    if (!story.complaint().empty()) complain_and_exit(story.complaint());
  };
  std::vector<series> all;
  for (unsigned which = 0; which < failures().size(); ++which) all.push_back({which, 8});
  const int result = go_through(all, tell);
  if (errors == 0) complain_and_exit("nothing has failed at all");
  return result;
}

unsigned start_of_thread() {
  const auto all = failures();
  const auto found = std::find_if(all.begin(), all.end(), [](const failure& each) {
    return std::string_view{each.call} == "pthread_create";
  });
  return static_cast<unsigned>(found - all.begin());
}

/// Returns how many pools told the callback of their only call, which may have failed.
int tell_callbacks_without_threads() {
  set_unhandled_hook([](const unhandled&) noexcept {});
  int told = 0;
  for (long threads = 0; threads < 6; ++threads) {
    fail_calls_from(start_of_thread(), threads);
    try {
      process_pool_executor pool{1};
      pool.submit(&::getpid).add_done_callback([&](const auto&) { ++told; });
    } catch (const std::exception&) {  // there was not even one to begin with
    }
    allow_calls();
  }
  return told;
}

const child_program few_threads{"system_calls_few_threads", &tell_callbacks_without_threads};
const child_program threads{"system_calls_threads", &fail_here<thread_pool_executor>};
const child_program processes{"system_calls_processes", &fail_here<process_pool_executor>};
const child_program children{"system_calls_children", &fail_in_children};

bool never(const ended&) { return false; }

}  // namespace

TEST(thread_pool_system_call, any_that_fails_is_told_and_costs_nothing_else) {
  EXPECT_EQ(go_through_steps(threads, &never), 0U);
}

TEST(process_pool_system_call, any_that_fails_is_told_and_costs_nothing_else) {
  take_some(13);

  EXPECT_EQ(go_through_steps(processes, &never), 0U);
}

TEST(process_pool_system_call, a_thread_that_cannot_be_started_is_told_with_what_to_raise) {
  fail_call(start_of_thread(), 0);
  std::string why;

  try {
    process_pool_executor pool{1};
    pool.submit(&::getpid).get();
  } catch (const std::exception& e) {
    why = e.what();
  }
  allow_calls();

  EXPECT_NE(why.find("ulimit -u"), std::string::npos) << why;
}

TEST(process_pool_system_call, threads_that_cannot_be_started_any_more_hold_up_no_end) {
  const ended child = few_threads.run();

  EXPECT_EQ(child.exit_code, 5) << child;  // all but the one that has no collector
}

TEST(process_pool_system_call, any_that_fails_in_its_children_is_told_and_costs_nothing_else) {
  take_some(29);

  EXPECT_EQ(go_through_steps(children, &never), 0U);
}

}  // namespace cadre::test
