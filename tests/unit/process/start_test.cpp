// SPDX-License-Identifier: MIT
#include <cadre/errors.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "process/role.hpp"
#include "process/start_hook.hpp"
#include "process/worker_starter.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "unit/process/one_worker.hpp"

namespace cadre::test {
namespace {

using process::death_report;
using process::start_method;
using process::start_report;
using process::worker_spec;
using process::worker_starter;
using bytes = std::span<const std::byte>;
using numbers = std::span<const int>;

// A static object with a constructor that runs: workers must find it made.
const std::string made_before_main = std::string{"made "} + std::to_string(::getppid() > 0);

int exits_with_3(bytes, numbers) { return 3; }

int says_its_static(bytes, numbers fds) {
  say(fds, made_before_main);
  return 0;
}

int says_its_argument(bytes argument, numbers fds) {
  say(fds, {reinterpret_cast<const char*>(argument.data()), argument.size()});
  return 0;
}

int says_its_surroundings(bytes, numbers fds) {
  std::string all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text{*variable};
    if (text.starts_with("CADRE_BOOT") || text.starts_with("GIVEN")) all += text + ' ';
  }
  say(fds, all + "in " + std::filesystem::current_path().string());
  return 0;
}

int says_what_it_may(bytes, numbers fds) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  rlimit seconds{};
  ::getrlimit(RLIMIT_CPU, &seconds);
  cpu_set_t cpus;
  ::sched_getaffinity(0, sizeof cpus, &cpus);
  std::string adjustment;
  std::ifstream{"/proc/self/oom_score_adj"} >> adjustment;
  say(fds, "files " + std::to_string(files.rlim_cur) + " seconds " +
               std::to_string(seconds.rlim_cur) + " nice " +
               std::to_string(::getpriority(PRIO_PROCESS, 0)) + " cpus " +
               std::to_string(CPU_COUNT(&cpus)) + " oom " + adjustment);
  return 0;
}

int allocates_too_much(bytes, numbers fds) {
  try {
    std::vector<char> all(std::size_t{1} << 32U);
    asm volatile("" : : "r"(all.data()) : "memory");  // clang would do without
    say(fds, "allocated" + std::to_string(all.size()));
  } catch (const std::bad_alloc&) {
    say(fds, "bad_alloc");
  }
  return 0;
}

int says_its_descriptors(bytes, numbers fds) {
  std::string all;
  for (const auto& link : std::filesystem::directory_iterator{"/proc/self/fd"}) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(link.path(), gone).string();
    if (gone || target.starts_with("/proc/")) continue;
    if (std::stoi(link.path().filename()) > 2) all += target.substr(0, target.find(':')) + ' ';
  }
  say(fds, all);
  return 0;
}

int says_its_signals(bytes, numbers fds) {
  std::ifstream status{"/proc/self/status"};
  std::string word;
  std::string blocked;
  while (status >> word) {
    if (word == "SigBlk:") status >> blocked;
  }
  say(fds, "blocked " + blocked + (::signal(SIGINT, SIG_DFL) == SIG_DFL ? " SIGINT default" : ""));
  return 0;
}

int waits_for_ever(bytes, numbers fds) {
  say(fds, "waits");
  sleep_for_ever();
}

int starts_a_worker(bytes, numbers fds) {
  one_worker inner{&says_its_static};
  say(fds, inner.said() + (inner.death().exit_code == 0 ? " by a worker's worker" : ""));
  return 0;
}

int prints_into_a_buffer(bytes, numbers) {
  std::cout << "once ";
  return 0;
}

const child_program prints_in_a_worker{
    "prints in a worker", [] { return one_worker{&prints_into_a_buffer}.death().signal; }};

const child_program forks_with_a_full_buffer{"forks a worker with a full buffer", [] {
                                               worker_spec fork;
                                               fork.method = start_method::fork;
                                               std::fputs("parent ", stdout);
                                               one_worker{&prints_into_a_buffer, fork}.death();
                                               return 0;
                                             }};

template <typename T>
bytes bytes_of(const T& value) {
  return std::as_bytes(std::span{value});
}

class start_by : public testing::TestWithParam<start_method> {
 protected:
  worker_spec spec() const {
    worker_spec with;
    with.method = GetParam();
    return with;
  }
};

std::string method_name(const testing::TestParamInfo<start_method>& info) {
  switch (info.param) {
    case start_method::zygote:
      return "zygote";
    case start_method::exec:
      return "exec";
    case start_method::fork:
      return "fork";
  }
  return "";
}

}  // namespace

TEST_P(start_by, runs_the_entry_and_reports_its_exit_code) {
  const one_worker w{&exits_with_3, spec()};

  const death_report death = w.death();

  EXPECT_EQ(death.exit_code, 3);
  EXPECT_EQ(death.signal, 0);
  EXPECT_EQ(death.pid, w.pid());
  EXPECT_EQ(death.id, w.id());
  EXPECT_FALSE(death.crash);
}

TEST_P(start_by, initialises_static_objects_first) {
  const one_worker w{&says_its_static, spec()};

  EXPECT_EQ(w.death().exit_code, 0);
  EXPECT_EQ(w.said(), "made 1");
}

TEST_P(start_by, passes_the_argument_and_descriptors) {
  const std::string argument(5000, 'a');
  const one_worker w{&says_its_argument, spec(), bytes_of(argument)};

  EXPECT_EQ(w.said(), argument);
}

TEST_P(start_by, reports_a_signal_that_ended_it) {
  const one_worker w{&waits_for_ever, spec()};

  w.kill(SIGKILL);
  const death_report death = w.death();

  EXPECT_EQ(death.signal, SIGKILL);
  EXPECT_FALSE(death.exit_code);
  EXPECT_GT(death.peak_memory, 100'000U);
}

TEST_P(start_by, gives_environment_and_directory) {
  worker_spec given = spec();
  given.environment = {{"GIVEN", "yes"}};
  given.working_directory = "/usr";
  const one_worker w{&says_its_surroundings, given};

  EXPECT_EQ(w.said(), "GIVEN=yes in /usr");
}

TEST_P(start_by, gives_limits) {
  worker_spec given = spec();
  given.open_files = 20;
  given.cpu_seconds = 77;
  given.nice = 5;
  given.oom_score_adj = 500;
  cpu_set_t usable;
  ::sched_getaffinity(0, sizeof usable, &usable);
  int first = 0;
  while (!CPU_ISSET(static_cast<unsigned>(first), &usable)) ++first;
  given.cpus = {first};
  const one_worker w{&says_what_it_may, given};

  EXPECT_EQ(w.said(), "files 20 seconds 77 nice 5 cpus 1 oom 500");
}

TEST_P(start_by, limits_memory_to_bad_alloc) {
  if (under_asan || under_tsan) GTEST_SKIP() << "sanitizers reserve terabytes";
  worker_spec given = spec();
  given.address_space = std::uint64_t{1} << 30U;
  const one_worker w{&allocates_too_much, given};

  EXPECT_EQ(w.said(), "bad_alloc");
}

TEST_P(start_by, refuses_with_a_sentence_what_it_cannot_apply) {
  worker_spec given = spec();
  given.working_directory = "/no/such/place";

  EXPECT_EQ(refusal(&exits_with_3, given),
            "cadre could not start a worker process: a worker process could not be given the "
            "working directory /no/such/place: No such file or directory");
}

TEST_P(start_by, blocks_no_signals_in_the_worker) {
  const one_worker w{&says_its_signals, spec()};

  EXPECT_EQ(w.said(), "blocked 0000000000000000 SIGINT default");
}

TEST_P(start_by, lets_a_worker_have_workers) {
  if (under_tsan && GetParam() == start_method::fork) {
    GTEST_SKIP() << "ThreadSanitizer allows no threads after a fork with threads";
  }
  const one_worker w{&starts_a_worker, spec()};

  EXPECT_EQ(w.said(), "made 1 by a worker's worker");
}

INSTANTIATE_TEST_SUITE_P(method, start_by,
                         testing::Values(start_method::zygote, start_method::exec,
                                         start_method::fork),
                         method_name);

TEST(start, leaves_the_worker_no_descriptors_but_its_own) {
  const ipc::descriptor zero{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
  const ipc::descriptor inheritable{::fcntl(zero.get(), F_DUPFD, 50)};
  const one_worker forked{&says_its_descriptors};
  worker_spec exec;
  exec.method = start_method::exec;
  const one_worker executed{&says_its_descriptors, exec};

  EXPECT_EQ(forked.said(), "pipe ");
  EXPECT_EQ(executed.said(), "pipe ");
}

TEST(start, uses_the_hook_in_this_program) {
  EXPECT_TRUE(process::start_hook_ran);
  EXPECT_EQ(process::find_diversion(), process::diversion::hook);
}

TEST(start, from_many_threads_at_once) {
  const auto starter = worker_starter::acquire();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 5; ++i) EXPECT_EQ(one_worker{&exits_with_3}.death().exit_code, 3);
    });
  }
}

TEST(start, by_a_callback_on_the_reaper) {
  const auto starter = worker_starter::acquire();
  std::promise<death_report> second;
  const worker_spec spec;
  starter->start({spec,
                  &exits_with_3,
                  {},
                  {},
                  [](const start_report&) {},
                  [&](const death_report&) {
                    starter->start({spec,
                                    &exits_with_3,
                                    {},
                                    {},
                                    [](const start_report&) {},
                                    [&](const death_report& report) { second.set_value(report); }});
                  }});

  EXPECT_EQ(second.get_future().get().exit_code, 3);
}

TEST(start, the_last_handle_may_end_in_a_callback) {
  std::promise<void> told;
  std::weak_ptr<worker_starter> watched;
  {
    auto last = std::make_shared<std::shared_ptr<worker_starter>>(worker_starter::acquire());
    watched = *last;
    const auto worker =
        start_and_wait(**last, {}, &waits_for_ever, {}, std::vector<int>{STDERR_FILENO},
                       [&, last](const death_report&) {
                         last->reset();
                         told.set_value();
                       });
    (*last)->kill(worker.id, SIGKILL);
  }

  told.get_future().get();

  EXPECT_TRUE(watched.expired());
}

TEST(start, has_one_starter_and_one_zygote_at_a_time) {
  const auto first = worker_starter::acquire();
  const one_worker a{&exits_with_3};
  const one_worker b{&exits_with_3};

  EXPECT_EQ(first, worker_starter::acquire());
  EXPECT_TRUE(first->zygote_pid());
}

TEST(start, boots_nothing_before_it_is_needed) {
  const auto starter = worker_starter::acquire();

  EXPECT_FALSE(starter->zygote_pid());
}

TEST(start, kills_what_is_left_when_the_last_handle_ends) {
  auto w = std::make_unique<one_worker>(&waits_for_ever);
  const ipc::descriptor watched = process::open_pidfd(w->pid());

  w.reset();

  pollfd dead{watched.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&dead, 1, 0), 1);
}

TEST(start, refuses_a_function_that_no_other_process_has) {
  const auto memory = std::make_unique<char>();
  auto* const heap = reinterpret_cast<process::worker_entry*>(memory.get());

  EXPECT_NE(refusal(heap, {}).find("made at run time"), std::string::npos);
}

TEST(start, refuses_data_as_a_function) {
  auto* const data =
      reinterpret_cast<process::worker_entry*>(reinterpret_cast<std::uintptr_t>(&made_before_main));

  EXPECT_NE(refusal(data, {}).find("no code"), std::string::npos);
}

TEST(start, refuses_an_argument_that_is_too_large) {
  const std::vector<std::byte> huge(1'000'000);
  try {
    one_worker{&exits_with_3, {}, huge};
    ADD_FAILURE() << "it started";
  } catch (const broken_executor& e) {
    EXPECT_NE(std::string{e.what()}.find("Message too long"), std::string::npos) << e.what();
  }
}

TEST(start, tells_what_may_pass_from_what_will_not) {
  const auto of = [](int error) {
    return process::failure_of(1, std::system_error{error, std::generic_category()}).passing;
  };
  for (const int error : {EAGAIN, ENOMEM, EMFILE, ENFILE}) EXPECT_TRUE(of(error)) << error;
  for (const int error : {ENOENT, EACCES, ENOSYS}) EXPECT_FALSE(of(error)) << error;
  EXPECT_TRUE(process::failure_of(1, std::bad_alloc{}).passing);
  worker_spec impossible;
  impossible.working_directory = "/no/such/place";

  try {
    one_worker{&exits_with_3, impossible};
    ADD_FAILURE() << "it started";
  } catch (const process::failed_start& e) {
    EXPECT_FALSE(e.passing) << e.what();
  }
}

TEST(start, has_a_zygote_for_each_kind_of_worker) {
  const auto starter = worker_starter::acquire();
  const one_worker ends{&waits_for_ever};
  const pid_t first = *starter->zygote_pid();
  worker_spec keeping;
  keeping.keep_descendants = true;
  const one_worker keeps{&waits_for_ever, keeping};
  const one_worker ends_too{&waits_for_ever};

  EXPECT_NE(*starter->zygote_pid(), first);
  ends.kill(SIGKILL);
  EXPECT_EQ(ends.death().signal, SIGKILL);
  for (const one_worker* other : {&keeps, &ends_too}) EXPECT_EQ(::kill(other->pid(), 0), 0);
}

TEST(start, prints_what_a_worker_left_in_a_buffer_once) {
  const ended child = prints_in_a_worker.run();

  EXPECT_EQ(child.out, "once ") << child;
}

TEST(start, prints_what_the_parent_left_in_a_buffer_once) {
  const ended child = forks_with_a_full_buffer.run();

  EXPECT_EQ(child.out, "once parent ") << child;
}

}  // namespace cadre::test
