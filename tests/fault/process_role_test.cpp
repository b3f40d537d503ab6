// SPDX-License-Identifier: MIT
// main() runs once: a process that cadre executes takes its role or ends, whatever the system, a filter
// or whoever cleans the environment do to it; and an ordinary process is none of those, whatever its
// environment says. And: no worker has rights that the program gave up.
#include <cadre/process_pool_executor.hpp>

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>

#include "fault/process_pool_calls.hpp"
#include "process/role.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

namespace fs = std::filesystem;

constexpr unsigned nobody = 65534;

/// The message with which a pool's first call fails; empty if it does not.
std::string refusal_of_pool(start_method how = start_method::zygote) {
  process_pool_options options = workers(1);
  options.start_method = how;
  process_pool_executor pool{std::move(options)};
  try {
    pool.submit(&add_one, 1).get_for(long_time);
    return {};
  } catch (const broken_executor& e) {
    return e.what();
  }
}

/// Of a child program: 0 if pools are refused with these words.
int expect_refusal(const std::string& words) {
  const std::string why = refusal_of_pool();
  std::cout << why << std::endl;
  return why.find(words) != std::string::npos ? 0 : 1;
}

const child_program has_another_effective_user{
    "has another effective user", [] {
      if (::seteuid(nobody) != 0) return 2;
      const int result = expect_refusal("effective user or group");
      return result != 0 ? result : refusal_of_pool(start_method::fork).empty() ? 0 : 3;
    }};

const child_program has_another_effective_group{"has another effective group", [] {
                                                  if (::setegid(nobody) != 0) return 2;
                                                  return expect_refusal("effective user or group");
                                                }};

const child_program gives_up_a_set_user_id{"gives up root, which its file would give it again", [] {
                                             if (::setresuid(nobody, nobody, nobody) != 0) return 2;
                                             return expect_refusal("AT_SECURE");
                                           }};

const child_program denies_getsockopt{
    "denies getsockopt", [] {
      std::array<sock_filter, 4> filter{{
          {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
          {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_getsockopt},
          {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
          {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
      }};
      const sock_fprog program{filter.size(), filter.data()};
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return 2;
      return expect_refusal("a filter of system calls");
    }};

const child_program exits_with_5{"comes to main() and exits with 5", [] { return 5; }};

/// How this program ends, executed with that variable and that descriptor 3.
int exit_code_of_copy(const char* variable, int boot) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, STDOUT_FILENO);
    boot >= 0 ? ::dup2(boot, STDERR_FILENO + 1) : ::close(STDERR_FILENO + 1);
    ::fcntl(STDERR_FILENO + 1, F_SETFD, 0);  // if it was that already
    ::unsetenv("CADRE_BOOT");
    if (variable != nullptr) ::setenv("CADRE_BOOT", variable, 1);
    ::execl("/proc/self/exe", "test", "--cadre-child", "comes to main() and exits with 5", nullptr);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// Also that no copy of it has come to main(), which would run tests.
void expect_good(const child_program& program) {
  ::setenv("GTEST_FILTER", "none.*", 1);  // for a copy that comes to main()
  const ended child = program.run();
  ::unsetenv("GTEST_FILTER");

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out.find("Running"), std::string::npos) << "main() ran again: " << child;
}

bool is_root() { return ::geteuid() == 0; }

int user_and_group() {
  return ::getuid() == nobody && ::geteuid() == nobody && ::getegid() == nobody ? 1 : 0;
}

const child_program gives_up_root{
    "gives up root between pools", [] {
      process_pool_executor before{1};
      before.submit(&own_pid).get();
      if (::setgroups(0, nullptr) != 0) return 10;
      if (::setresgid(nobody, nobody, nobody) != 0 || ::setresuid(nobody, nobody, nobody) != 0) {
        return 2;
      }
      static_cast<void>(failure_of<worker_died>(before.submit(&end, way::is_killed)));
      int result = before.submit(&user_and_group).get_for(long_time) == 1 ? 0 : 3;
      for (const auto how : {start_method::zygote, start_method::exec, start_method::fork}) {
        process_pool_options options = workers(1);
        options.start_method = how;
        process_pool_executor pool{std::move(options)};
        if (pool.submit(&user_and_group).get_for(long_time) != 1) result = 4;
      }
      return result;
    }};

int nothing() { return 0; }

/// Its zygote is born when there may be hardly any process, later there may be.
int raises_its_limit_of_processes(rlim_t low) {
  const uid_t unused = 54321;
  if (::setresgid(unused, unused, unused) != 0 || ::setresuid(unused, unused, unused) != 0)
    return 2;
  rlimit limit{low, 1000};
  if (::setrlimit(RLIMIT_NPROC, &limit) != 0) return 3;
  process_pool_executor pool{1};
  static_cast<void>(pool.submit(&nothing).exception());  // it may fail, and may not
  limit.rlim_cur = 1000;
  if (::setrlimit(RLIMIT_NPROC, &limit) != 0) return 4;
  pool.submit(&nothing).get_for(long_time);
  return process_pool_executor{1}.submit(&nothing).get_for(long_time);
}
const child_program raises_its_limit_from_3{"raises its limit of processes from 3",
                                            [] { return raises_its_limit_of_processes(3); }};
const child_program raises_its_limit_from_4{"raises its limit of processes from 4",
                                            [] { return raises_its_limit_of_processes(4); }};

std::string namespace_and_rights() {
  std::string all = fs::read_symlink("/proc/thread-self/ns/uts").string();
  std::ifstream status{"/proc/thread-self/status"};
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("CapBnd") || line.starts_with("Groups")) all += line;
  }
  return all;
}

const child_program changes_what_cannot_be_sent{
    "changes its namespaces, capabilities and groups between pools", [] {
      process_pool_executor before{1};
      before.submit(&own_pid).get();
      const gid_t group = nobody;
      if (::unshare(CLONE_NEWUTS) != 0 || ::setgroups(1, &group) != 0 ||
          ::prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0) != 0) {
        return 2;
      }
      for (const auto how : {start_method::zygote, start_method::exec}) {
        process_pool_options options = workers(1);
        options.start_method = how;
        process_pool_executor pool{std::move(options)};
        const std::string said = pool.submit(&namespace_and_rights).get_for(long_time);
        if (said == namespace_and_rights()) continue;
        std::cout << said << " instead of " << namespace_and_rights() << std::endl;
        return 3;
      }
      return 0;
    }};

}  // namespace

TEST(process_role, of_a_zygote_is_played_with_the_limit_of_processes_that_the_program_has_by_now) {
  if (!is_root()) GTEST_SKIP() << "only root can become a user without processes";
  if (under_asan || under_tsan) GTEST_SKIP() << "the sanitizer has threads, which count";
  for (const child_program* each : {&raises_its_limit_from_3, &raises_its_limit_from_4}) {
    const ended child = each->run();
    EXPECT_EQ(child.exit_code, 0) << child;
  }
}

TEST(process_role, is_refused_with_another_effective_user) {
  if (!is_root()) GTEST_SKIP() << "only root can take another effective user";
  if (under_asan)
    GTEST_SKIP() << "LeakSanitizer cannot look at a process of another effective user";
  expect_good(has_another_effective_user);
}

TEST(process_role, is_refused_with_another_effective_group) {
  if (!is_root()) GTEST_SKIP() << "only root can take another effective group";
  expect_good(has_another_effective_group);
}

TEST(process_role, is_not_taken_by_a_file_that_gives_rights) {
  if (!is_root()) GTEST_SKIP() << "only root can make its file set-user-ID";
  const fs::path place = fs::temp_directory_path() / ("cadre-role-" + std::to_string(::getpid()));
  fs::create_directory(place);
  struct statvfs mount {};
  ::statvfs(place.c_str(), &mount);
  const fs::path file = place / "program";
  fs::copy_file("/proc/self/exe", file);
  ::chmod(file.c_str(), 04755);
  ::setenv("GTEST_FILTER", "none.*", 1);

  const ended child = run_process(
      {file.string(), "--cadre-child", "gives up root, which its file would give it again"});
  ::unsetenv("GTEST_FILTER");
  fs::remove_all(place);

  if ((mount.f_flag & ST_NOSUID) != 0) GTEST_SKIP() << "set-user-ID has no effect here";
  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out.find("Running"), std::string::npos) << "main() ran again: " << child;
}

TEST(process_role, is_not_taken_behind_a_filter_that_hides_the_proof) {
  expect_good(denies_getsockopt);
}

TEST(process_role, is_not_taken_without_the_variable) {
  const auto [ours, theirs] = process::boot_sockets();

  const int code = exit_code_of_copy(nullptr, theirs.fd());

  EXPECT_NE(code, 5) << "main() ran";
  EXPECT_NE(std::string{process::refusal_of_role(code)}.find("CADRE_BOOT"), std::string::npos);
}

TEST(process_role, is_not_taken_with_a_variable_that_says_nothing) {
  for (const char* variable : {"", "z", "zz", "x3h1", "z4h1", "z3"}) {
    const auto [ours, theirs] = process::boot_sockets();

    const int code = exit_code_of_copy(variable, theirs.fd());

    EXPECT_STRNE(process::refusal_of_role(code), "") << variable << " exits with " << code;
  }
}

TEST(process_role, is_not_taken_from_a_stranger) {
  // A process in between made neither the socket nor the mark.
  const auto [ours, theirs] = process::boot_sockets();
  const int boot = theirs.fd();
  const pid_t between = ::fork();
  if (between == 0) ::_exit(exit_code_of_copy("z3h1", boot));
  int status = 0;
  ::waitpid(between, &status, 0);

  EXPECT_STRNE(process::refusal_of_role(WEXITSTATUS(status)), "") << WEXITSTATUS(status);
}

TEST(process_role, of_an_ordinary_process_is_not_changed_by_its_environment) {
  auto [ours, theirs] = ipc::packet_socket::pair();
  const std::byte something{1};
  ours.send({&something, 1});
  const ipc::descriptor file{::open("/dev/null", O_RDWR | O_CLOEXEC)};

  for (const char* variable : {"z3h1", "w3i1", "nonsense", ""}) {
    EXPECT_EQ(exit_code_of_copy(variable, -1), 5) << variable;
    EXPECT_EQ(exit_code_of_copy(variable, theirs.fd()), 5) << variable << ", beside a socket";
    EXPECT_EQ(exit_code_of_copy(variable, file.get()), 5) << variable << ", beside a file";
  }
}

TEST(process_role, of_workers_has_no_rights_that_were_given_up) {
  if (!is_root()) GTEST_SKIP() << "only root has something to give up";
  expect_good(gives_up_root);
}

TEST(process_role, of_workers_has_the_namespaces_and_capabilities_of_now) {
  if (!is_root()) GTEST_SKIP() << "only root can leave them";
  expect_good(changes_what_cannot_be_sent);
}

}  // namespace cadre::test
