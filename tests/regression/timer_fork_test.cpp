// SPDX-License-Identifier: MIT
// Timers beside what ends processes: fork(), and exit with timers pending.
#include <cadre/deadline_scope.hpp>
#include <cadre/errors.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/timer.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "support/process.hpp"
#include "support/sanitizers.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

const child_program exits_with_timers{"exits with timers", [] {
                                        static thread_pool_executor pool{2};
                                        static auto* kept = new thread_pool_executor{1};
                                        static auto late = submit_after(pool, 1h, [] {});
                                        static auto beat = submit_every(pool, 1ms, [] {});
                                        static auto lost = submit_after(*kept, 1h, [] {});
                                        submit_after(pool, 5ms, [] {}).get();
                                        return 7;
                                      }};

/// All threads of this process but this one sleep.
bool others_sleep() {
  for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
    if (task.path().filename() == std::to_string(::gettid())) continue;
    std::ifstream file{task.path() / "stat"};
    std::string text;
    std::getline(file, text);
    const auto name_end = text.rfind(')');
    if (name_end != std::string::npos && text.substr(name_end + 2, 1) != "S") return false;
  }
  return true;
}

const child_program forks_with_timers{
    "forks with timers", [] {
      thread_pool_executor pool{1};
      const auto late = submit_after(pool, 1h, [] { return 1; });
      const auto soon = submit_after(pool, 100ms, [] { return 2; });
      // Once in a while only under AddressSanitizer: that of g++ 12 does not hold its allocator's
      // locks across fork(), so a thread at work then may leave the child with a locked one.
      const auto beat = submit_every(pool, under_asan ? milliseconds{1h} : 1ms, [] {});
      auto limit = std::make_unique<deadline_scope>(1h);
      while (under_asan && !others_sleep()) std::this_thread::yield();  // nor one that just begins
      const pid_t child = ::fork();
      if (child == 0) {
        ::alarm(20);
        int good = 0;
        try {
          late.get();
        } catch (const broken_executor&) {
          ++good;
        }
        thread_pool_executor own{1};  // the child's timers have a thread of their own
        good += submit_after(own, 1ms, [] { return 1; }).get();
        try {
          submit_after(pool, 1ms, [] {}).get();  // to a pool of the parent
        } catch (const broken_executor&) {
          ++good;
        }
        limit.reset();
        const deadline_scope own_limit{1ms};
        while (!own_limit.get_token().stop_requested()) std::this_thread::yield();
        ::_exit(good + 1);
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      std::printf("%d %d %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1, soon.get(),
                  static_cast<int>(late.cancel() && !beat.done()));
      return 0;
    }};

}  // namespace

TEST(timer_at_exit, pending_timers_hold_up_nobody) {
  const ended child = exits_with_timers.run();

  EXPECT_EQ(child.exit_code, 7) << child;
  EXPECT_EQ(child.err, "");
}

TEST(timer_fork, the_child_is_told_and_may_set_its_own_and_the_parent_goes_on) {
  if (under_tsan) GTEST_SKIP() << "ThreadSanitizer allows no threads after a fork of threads";

  const ended child = forks_with_timers.run();

  EXPECT_EQ(child.out, "4 2 1\n") << child;
}

}  // namespace cadre::test
