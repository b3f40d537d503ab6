// SPDX-License-Identifier: MIT
// Workers, and parents, that have too little: memory, descriptors, rights. The call that needs more
// fails and says so; no worker dies of it.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/shared_span.hpp>

#include <gtest/gtest.h>
#include <linux/landlock.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "ipc/packet_socket.hpp"
#include "process/answers.hpp"
#include "support/channel_pair.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"
#include "unit/process/one_worker.hpp"

namespace cadre::test {
namespace {

constexpr std::size_t mega = std::size_t{1} << 20;

/// A soft limit of this process for a scope.
class lowered_limit {
 public:
  lowered_limit(__rlimit_resource which, rlim_t to) : which_{which} {
    ::getrlimit(which_, &before_);
    const rlimit lower{to, before_.rlim_max};
    ::setrlimit(which_, &lower);
  }
  ~lowered_limit() { ::setrlimit(which_, &before_); }
  lowered_limit(const lowered_limit&) = delete;
  lowered_limit& operator=(const lowered_limit&) = delete;

 private:
  const __rlimit_resource which_;
  rlimit before_{};
};

std::uint64_t address_space() {
  std::uint64_t pages = 0;
  std::ifstream{"/proc/self/statm"} >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t total_length(const std::vector<std::string>& texts) {
  std::size_t total = 0;
  for (const std::string& text : texts) total += text.size();
  return total;
}

std::string some_text(std::size_t size) { return std::string(size, 'x'); }

std::size_t allocate(std::size_t size) {
  const std::vector<char> all(size, 'x');
  asm volatile("" : : "r"(all.data()) : "memory");  // clang would do without
  return all.size();
}

int first_of_all(const std::vector<shared_span<const int>>& all) {
  int sum = 0;
  for (const auto& each : all) sum += each[0];
  return sum;
}

bool can_open(const std::string& path) { return std::ifstream{path}.is_open(); }

bool kernel_restricts_files() {
  return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

}  // namespace

TEST(process_pool_limits, a_worker_opens_only_the_files_that_it_is_allowed) {
  if (!kernel_restricts_files()) GTEST_SKIP() << "this kernel has no Landlock";
  auto options = workers(1);
  options.worker.restrict_files = true;
  options.worker.readable_paths = {"/usr", "/proc"};
  process_pool_executor pool{std::move(options)};

  EXPECT_TRUE(pool.submit(&can_open, "/usr/bin/env").get_for(medium_time));
  EXPECT_FALSE(pool.submit(&can_open, "/etc/passwd").get_for(medium_time));
  EXPECT_TRUE(can_open("/etc/passwd"));
}

TEST(process_pool_limits, a_call_too_large_for_its_worker_gets_bad_alloc_and_spares_it) {
  if (under_asan || under_tsan) GTEST_SKIP() << "their shadow takes all address space";
  auto options = workers(1);
  options.worker.address_space =
      process_pool_executor{1}.submit(&address_space).get_for(medium_time) + 64 * mega;
  process_pool_executor pool{std::move(options)};
  const int pid = pool.submit(&own_pid).get_for(medium_time);
  // Each too small to travel beside the call.
  const std::vector<std::string> texts(2000, std::string(60'000, 'x'));

  const auto f = pool.submit(&total_length, texts);

  EXPECT_THROW(f.get_for(medium_time), std::bad_alloc);
  EXPECT_EQ(pool.submit(&own_pid).get_for(medium_time), pid);
}

TEST(process_pool_limits, a_call_over_its_max_memory_gets_bad_alloc_and_spares_the_next) {
  if (under_asan || under_tsan) GTEST_SKIP() << "they do not report too little memory";
  process_pool_executor pool{1};
  const int pid = pool.submit(&own_pid).get_for(medium_time);

  const auto f = pool.submit({.max_memory = 10 * mega}, &allocate, 100 * mega);

  EXPECT_THROW(f.get_for(medium_time), std::bad_alloc);
  EXPECT_EQ(pool.submit(&allocate, 100 * mega).get_for(medium_time), 100 * mega);
  EXPECT_EQ(pool.submit(&own_pid).get_for(medium_time), pid);
}

TEST(process_pool_limits, a_result_too_large_for_this_process_is_not_taken_for_damage) {
  if (under_asan || under_tsan) GTEST_SKIP() << "their shadow takes all address space";
  process_pool_executor pool{1};
  pool.submit(&own_pid).get_for(medium_time);
  std::string hint;
  {
    const lowered_limit memory{RLIMIT_AS, address_space() + 64 * mega};
    hint = death_of(pool.submit(&some_text, 200 * mega)).hint;
  }

  EXPECT_EQ(hint.find("damaged"), std::string::npos) << hint;
  EXPECT_NE(hint.find("memory"), std::string::npos) << hint;
  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
}

TEST(process_pool_limits, a_worker_without_descriptors_refuses_shared_memory_and_lives) {
  if (under_asan) {
    GTEST_SKIP()
        << "UndefinedBehaviorSanitizer, which is in that build, writes a virtual table that it "
           "has not seen yet to a pipe to learn if it can be read; where pipe() fails with "
           "EMFILE it calls the table invalid and ends the worker";
  }
  auto options = workers(1);
  options.worker.open_files = 24;
  process_pool_executor pool{std::move(options)};
  const int pid = pool.submit(&own_pid).get_for(medium_time);
  std::vector<shared_buffer<int>> buffers;
  std::vector<shared_span<const int>> all;
  for (int i = 0; i < 40; ++i) all.push_back(buffers.emplace_back(1).share());

  for (int i = 0; i < 2; ++i) {  // the second time the worker knows of them already
    const auto f = pool.submit(&first_of_all, all);
    try {
      f.get_for(medium_time);
      ADD_FAILURE() << "it had descriptors enough";
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code().value(), EMFILE) << e.what();
    }
  }

  EXPECT_EQ(pool.submit(&own_pid).get_for(medium_time), pid);
}

TEST(process_pool_limits, without_descriptors_an_answer_arrives_without_its_memory) {
  channel_pair channel;
  auto [mine, others] = ipc::packet_socket::pair();
  const process::packet_head what{.number = 1, .size = 4096};
  others.send(std::as_bytes(std::span{&what, 1}), std::array{channel.parents.handle.get()});
  process::answer_header header{.packets = 1};
  header.check = process::frame_checks{7}.next();
  channel.worker.write_some(std::as_bytes(std::span{&header, 1}));
  channel.worker.publish();
  process::answer_reader reader{1000, 7};
  process::answers batch;
  const int next = ::dup(mine.fd());
  ::close(next);

  bool sound = false;
  {
    const lowered_limit descriptors{RLIMIT_NOFILE, static_cast<rlim_t>(next)};
    sound = reader.read(channel.parent, mine, batch, 10);
  }

  EXPECT_TRUE(sound);
  ASSERT_EQ(batch.list.size(), 1U);
  EXPECT_FALSE(batch.list[0].memories.at(0).handle);
}

TEST(process_pool_limits, limits_that_no_worker_can_begin_with_are_named) {
  if (under_asan || under_tsan) GTEST_SKIP() << "sanitizers need more than these limits themselves";
  const worker_settings too_low[] = {{.open_files = 1}, {.address_space = 1}, {.file_size = 4096}};
  for (const worker_settings& settings : too_low) {
    process_pool_executor pool{{.max_workers = 1, .worker = settings}};

    const std::string why = failure_of<broken_executor>(pool.submit(&own_pid));

    EXPECT_NE(why.find(settings.open_files      ? "worker.open_files"
                       : settings.address_space ? "worker.address_space"
                                                : "worker.file_size"),
              std::string::npos)
        << why;
  }
}

TEST(process_pool_limits, the_largest_max_memory_is_no_limit) {
  process_pool_executor pool{1};

  EXPECT_EQ(pool.submit({.max_memory = SIZE_MAX}, &allocate, 5 * mega).get(), 5 * mega);
}

TEST(process_pool_limits, a_grace_below_zero_is_none) {
  process_pool_executor pool{1};

  const auto hangs = pool.submit({.timeout = short_time, .grace = std::chrono::nanoseconds::min()},
                                 []() -> int { sleep_for_ever(); });

  EXPECT_THROW(hangs.get_for(long_time), timeout_error);
  EXPECT_TRUE(hangs.done());
}

TEST(process_pool_limits, what_will_not_pass_is_not_to_be_tried_later) {
  auto options = workers(1);
  options.worker.working_directory = "/there/is/none";
  process_pool_executor pool{std::move(options)};

  const std::string why = failure_of<broken_executor>(pool.submit(&add_one, 1));

  EXPECT_NE(why.find("mend that"), std::string::npos) << why;
}

TEST(process_pool_limits, impossible_options_are_refused_by_name) {
  using std::chrono::nanoseconds;
  const auto expect_refused = [](process_pool_options options, const std::string& name) {
    try {
      const process_pool_executor pool{std::move(options)};
      ADD_FAILURE() << name << " was taken";
    } catch (const std::invalid_argument& e) {
      EXPECT_NE(std::string{e.what()}.find(name), std::string::npos) << e.what();
    }
  };
  expect_refused({.idle_timeout = nanoseconds{-1}}, "idle_timeout");
  expect_refused({.end_grace = nanoseconds{-1}}, "end_grace");
  const std::pair<worker_settings, std::string> impossible[] = {
      {{.environment = {{"", "x"}}}, "worker.environment"},
      {{.environment = {{"A=B", "x"}}}, "worker.environment"},
      {{.environment = {{"A", std::string{"x\0y", 3}}}}, "worker.environment"},
      {{.unset_environment = {"A=B"}}, "worker.unset_environment"},
      {{.affinity = {-1}}, "worker.affinity"},
      {{.affinity = {0, 999'999}}, "worker.affinity"},
      {{.oom_score_adj = 1001}, "worker.oom_score_adj"},
  };
  for (const auto& [settings, name] : impossible) expect_refused({.worker = settings}, name);
}

}  // namespace cadre::test
