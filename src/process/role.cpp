// SPDX-License-Identifier: MIT
#include "process/role.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cadre/errors.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "process/module_table.hpp"
#include "process/start_hook.hpp"
#include "process/worker_process.hpp"
#include "process/zygote.hpp"

namespace cadre::process {
namespace {

constexpr const char* boot_variable = "CADRE_BOOT";
constexpr const char* preload_variable = "LD_PRELOAD";

// Plain: written before main(), or by cadre::init() at its begin.
constinit role my_role = role::users;
constinit int boot_socket = -1;
constinit bool diverted_by_preload = false;
constinit bool init_was_called = false;
constinit pid_t zygote_itself = 0;  // not the workers forked from it
constinit unsigned my_depth = 0;    // of a worker's pool's worker: 2

// Deeper than a program nests its pools on purpose. Each level costs a zygote and a worker, and a call
// that makes a pool for a call like itself would go on for ever.
constexpr unsigned most_depth = 8;

struct boot_note {
  role as;
  int socket;
  bool preloaded;
  unsigned depth;
};

std::optional<boot_note> parse(std::string_view text) {
  boot_note note{static_cast<role>(text.empty() ? 0 : text[0]), -1, false, 0};
  if (note.as != role::zygote && note.as != role::worker) return std::nullopt;
  text.remove_prefix(1);
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), note.socket);
  if (failed != std::errc{} || note.socket <= STDERR_FILENO) return std::nullopt;
  text = std::string_view{end};
  note.preloaded = text.starts_with(static_cast<char>(diversion::preload));
  if (!text.empty()) std::from_chars(text.data() + 1, text.data() + text.size(), note.depth);
  return note;
}

bool is_ours(int socket) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return false;
  ucred maker{};
  size = sizeof maker;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &maker, &size) != 0) return false;
  if (type != SOCK_SEQPACKET || maker.uid != ::geteuid()) return false;
  if (maker.pid == ::getppid()) return true;
  // The maker is not our parent. If it is dead, nobody waits for this process.
  pollfd state{socket, 0, 0};
  if (::poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0) ::_exit(0);
  return false;
}

/// The library that find_diversion() had put in front of the user's own ones.
void forget_preload() {
  const char* const all = std::getenv(preload_variable);
  const char* const rest = all == nullptr ? nullptr : std::strchr(all, ':');
  if (rest == nullptr) {
    ::unsetenv(preload_variable);
  } else {
    ::setenv(preload_variable, std::string{rest + 1}.c_str(), 1);
  }
}

/// A program started with closed standard descriptors must not print into a socket.
void fill_standard_fds() {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) ::close(fd);
}

/// The environment of the new process.
std::vector<std::string> environment_with(const std::string& boot, const std::string& preload) {
  std::vector<std::string> all{std::string{boot_variable} + '=' + boot};
  std::string preloads = preload;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text{*variable};
    const std::string_view name = text.substr(0, text.find('='));
    if (!preload.empty() && name == preload_variable) {
      preloads += ':';
      preloads += text.substr(std::min(name.size() + 1, text.size()));
    } else if (name != boot_variable) {
      all.emplace_back(text);
    }
  }
  if (!preload.empty()) all.push_back(std::string{preload_variable} + '=' + preloads);
  return all;
}

class spawn_plan {
 public:
  spawn_plan(role as, int boot) {
    ::posix_spawn_file_actions_init(&files_);
    ::posix_spawnattr_init(&attributes_);
    // Before the program runs: one that is not diverted must not read the user's input.
    ::posix_spawn_file_actions_addopen(&files_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&files_, boot, boot_fd);
    ::posix_spawn_file_actions_addclosefrom_np(&files_, boot_fd + 1);
    sigset_t signals;
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes_, &signals);
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes_, &signals);
    const int group = as == role::zygote ? POSIX_SPAWN_SETPGROUP : 0;
    ::posix_spawnattr_setflags(
        &attributes_, static_cast<short>(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | group));
  }
  ~spawn_plan() {
    ::posix_spawn_file_actions_destroy(&files_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  spawn_plan(const spawn_plan&) = delete;
  spawn_plan& operator=(const spawn_plan&) = delete;

  pid_t run(const std::vector<std::string>& environment) const {
    std::vector<char*> variables;
    variables.reserve(environment.size() + 1);
    for (const std::string& text : environment) variables.push_back(const_cast<char*>(text.data()));
    variables.push_back(nullptr);
    char* arguments[] = {program_invocation_name, nullptr};
    pid_t pid = 0;
    const int failed =
        ::posix_spawn(&pid, "/proc/self/exe", &files_, &attributes_, arguments, variables.data());
    if (failed == 0) return pid;
    throw broken_executor{"cadre cannot start worker processes: executing /proc/self/exe failed (" +
                          std::generic_category().message(failed) +
                          "); is /proc mounted, and the program's file still executable?"};
  }

  static constexpr int boot_fd = STDERR_FILENO + 1;

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

}  // namespace

// Runs before the static objects of the program exist, and uses none.
void find_role() noexcept {
  const char* const text = std::getenv(boot_variable);
  if (text == nullptr || ::getauxval(AT_SECURE) != 0) return;
  const std::optional<boot_note> note = parse(text);
  ::unsetenv(boot_variable);
  if (!note || !is_ours(note->socket)) return;
  my_role = note->as;
  boot_socket = note->socket;
  diverted_by_preload = note->preloaded;
  my_depth = note->depth;
  if (note->as == role::zygote) zygote_itself = ::getpid();
  ::fcntl(boot_socket, F_SETFD, FD_CLOEXEC);
  if (diverted_by_preload) forget_preload();
  fill_standard_fds();
}

void serve_role() noexcept {
  const role served = std::exchange(my_role, role::users);
  if (served == role::users) return;
  ipc::packet_socket boot{ipc::descriptor{boot_socket}};
  if (served == role::zygote) run_zygote(std::move(boot));
  if (served == role::worker) run_executed_worker(std::move(boot));
}

void serve_role_in_main() noexcept {
  init_was_called = true;
  if (!start_hook_ran) find_role();
  serve_role();
}

void count_fork() noexcept { ++my_depth; }

void require_may_have_workers() {
  if (zygote_itself == ::getpid()) {
    throw broken_executor{
        "process_pool: a static object of this program uses a pool before main(), as it does again "
        "in "
        "the process from which workers are forked; there it cannot: let it submit in main()"};
  }
  if (my_depth >= most_depth) {
    throw broken_executor{
        "process_pool: pools are nested too deeply: this is a worker of a pool in a "
        "worker of a pool, " +
        std::to_string(my_depth) + " times; does a call make a pool and submit itself to it?"};
  }
}

diversion find_diversion() {
  if (::getauxval(AT_SECURE) != 0) {
    throw broken_executor{
        "cadre starts no worker processes for a program that runs with more rights than its user "
        "(set-user-ID, file capabilities): give up the rights in a program of its own"};
  }
  std::string library;
  const bool in_program = linked_into_program(&library);
  // If it is still there, this process was started to be diverted, and was not.
  if (std::getenv(boot_variable) == nullptr) {
    if (start_hook_ran && !diverted_by_preload) return diversion::hook;
    if (init_was_called) return diversion::init;
    // LD_PRELOAD is a list, separated by colons and spaces.
    const bool in_list = library.find_first_of(": ") == std::string::npos;
    if (!in_program && in_list && ::access(library.c_str(), R_OK) == 0) return diversion::preload;
  }
  throw broken_executor{
      "cadre cannot start worker processes: this program, executed again, would run its main() "
      "instead of becoming one. Call cadre::init(argc, argv) first in main(), or link with "
      "-Wl,--wrap=main (a program linked with -static needs one of the two), or link cadre "
      "directly to the program or as a shared library whose file stays readable" +
      (in_program ? std::string{} : " (" + library + ")")};
}

pid_t execute_again(role as, int boot) {
  const diversion how = find_diversion();
  std::string preload;
  if (how == diversion::preload) linked_into_program(&preload);
  const unsigned depth = as == role::zygote ? my_depth + 1 : my_depth;
  const std::string note = static_cast<char>(as) + std::to_string(spawn_plan::boot_fd) +
                           static_cast<char>(how) + std::to_string(depth);
  return spawn_plan{as, boot}.run(environment_with(note, preload));
}

}  // namespace cadre::process
