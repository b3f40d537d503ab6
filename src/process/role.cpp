// SPDX-License-Identifier: MIT
#include "process/role.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cadre/detail/atomic.hpp>
#include <cadre/errors.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "process/module_table.hpp"
#include "process/program_file.hpp"
#include "process/start_hook.hpp"
#include "process/worker_process.hpp"
#include "process/zygote.hpp"

namespace cadre::process {
namespace {

constexpr const char* boot_variable = "CADRE_BOOT";
constexpr const char* preload_variable = "LD_PRELOAD";
constexpr std::string_view boot_mark = "cadre: you were executed to take a role";
constexpr int boot_fd = STDERR_FILENO + 1;

// Exit codes of a process that was executed to take a role and may not, or cannot. Of the parent, the
// words to each are in refusal_of_role().
constexpr int exits_as_secure = 91;
constexpr int exits_without_note = 92;
constexpr int exits_unproven = 93;
constexpr int exits_undiverted = 94;

// Threads of static objects may ask for it, while main() takes the role.
constinit sync::atomic<role> my_role{role::users};
// Plain: written before main(), or by cadre::init() at its begin.
constinit int boot_socket = -1;
constinit bool diverted_by_preload = false;
constinit bool init_was_called = false;
constinit pid_t zygote_itself = 0;  // not the workers forked from it
constinit pid_t executed_by = 0;
constinit unsigned my_depth = 0;  // of a worker's pool's worker: 2

// Deeper than a program nests its pools on purpose. Each level costs a zygote and a worker, and a call
// that makes a pool for a call like itself would go on for ever.
constexpr unsigned most_depth = 8;

struct boot_note {
  role as;
  int socket;
  diversion how;
  unsigned depth;
};

std::optional<boot_note> parse(std::string_view text) {
  boot_note note{static_cast<role>(text.empty() ? 0 : text[0]), -1, diversion::none, 0};
  if (note.as != role::zygote && note.as != role::worker) return std::nullopt;
  text.remove_prefix(1);
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), note.socket);
  if (failed != std::errc{} || note.socket <= STDERR_FILENO) return std::nullopt;
  text = std::string_view{end};
  if (text.empty()) return std::nullopt;
  note.how = static_cast<diversion>(text[0]);
  std::from_chars(text.data() + 1, text.data() + text.size(), note.depth);
  return note;
}

enum class evidence {
  none,
  mark,
  hidden,  // a filter of system calls does not let us look
};

/// Whether this process was executed by execute_again(): what environment variables cannot pretend, and
/// nobody who cleans them takes away. Of an ordinary program's own descriptor 3 nothing is consumed.
evidence find_mark() {
  std::array<char, boot_mark.size()> found{};
  const ssize_t size =
      ::recv(boot_fd, found.data(), found.size(), MSG_PEEK | MSG_DONTWAIT | MSG_NOSIGNAL);
  if (size < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS)) return evidence::hidden;
  const bool marked =
      size >= 0 && std::string_view{found.data(), static_cast<std::size_t>(size)} == boot_mark;
  return marked ? evidence::mark : evidence::none;
}

bool is_ours(int socket) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return false;
  ucred maker{};
  size = sizeof maker;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &maker, &size) != 0) return false;
  if (type != SOCK_SEQPACKET || maker.uid != ::geteuid()) return false;
  executed_by = maker.pid;
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
  // Null after clearenv().
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
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
    const int failed = ::posix_spawn(&pid, program_file().c_str(), &files_, &attributes_, arguments,
                                     variables.data());
    if (failed == 0) return pid;
    if (failed == EAGAIN || failed == ENOMEM) {  // as at another time there may be room for it
      throw std::system_error{failed, std::generic_category(), "another process is not to be had"};
    }
    throw broken_executor{"cadre cannot start worker processes: executing /proc/self/exe failed (" +
                          std::generic_category().message(failed) +
                          "); is /proc mounted, and may the user that this program runs as now (" +
                          std::to_string(::geteuid()) +
                          ") execute its file? Make it executable for that user, or start all "
                          "workers before the rights are given up"};
  }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

}  // namespace

/// In a program that has no hook, before main() or its static objects can lose the variable.
[[gnu::constructor(101)]] void note_role_before_init() noexcept {
  const char* const text = start_hook_ran ? nullptr : std::getenv(boot_variable);
  const std::optional<boot_note> note = text == nullptr ? std::nullopt : parse(text);
  if (note && note->how == diversion::init) find_role();
}

// Runs before the static objects of the program exist, and uses none.
void find_role() noexcept {
  const char* const text = std::getenv(boot_variable);
  const bool secure = ::getauxval(AT_SECURE) != 0;
  const evidence found = find_mark();
  // An ordinary process, whatever a variable in its environment says.
  if (found == evidence::none || (found == evidence::hidden && text == nullptr)) {
    if (text != nullptr && !secure) ::unsetenv(boot_variable);
    return;
  }
  // dies here: the survivor sees an exit code of refusal_of_role(); test
  // fault.process_role.is_not_taken_without_the_variable
  if (secure) ::_exit(exits_as_secure);
  const std::optional<boot_note> note = text == nullptr ? std::nullopt : parse(text);
  if (!note || note->socket != boot_fd) ::_exit(exits_without_note);
  if (found == evidence::hidden || !is_ours(boot_fd)) ::_exit(exits_unproven);
  std::array<char, boot_mark.size()> mark;
  static_cast<void>(::recv(boot_fd, mark.data(), mark.size(), MSG_DONTWAIT));
  ::unsetenv(boot_variable);
  my_role.store(note->as, std::memory_order_relaxed);  // relaxed: one word that orders nothing
  boot_socket = note->socket;
  diverted_by_preload = note->how == diversion::preload;
  my_depth = note->depth;
  if (note->as == role::zygote) zygote_itself = ::getpid();
  ::fcntl(boot_socket, F_SETFD, FD_CLOEXEC);
  if (diverted_by_preload) forget_preload();
  fill_standard_fds();
}

void serve_role() noexcept {
  // relaxed: one word that orders nothing
  const role served = my_role.exchange(role::users, std::memory_order_relaxed);
  if (served == role::users) return;
  ipc::packet_socket boot{ipc::descriptor{boot_socket}};
  if (served == role::zygote) run_zygote(std::move(boot));
  if (served == role::worker) run_executed_worker(std::move(boot));
}

void serve_role_in_main() noexcept {
  init_was_called = true;
  if (!start_hook_ran && !awaits_role()) find_role();
  serve_role();
}

pid_t executor_of_this_process() noexcept { return executed_by; }

bool awaits_role() noexcept {
  return my_role.load(std::memory_order_relaxed) != role::users;  // relaxed: it orders nothing
}

void count_fork() noexcept { ++my_depth; }

void require_may_have_workers(bool opened_before_role) {
  if (zygote_itself == ::getpid() || opened_before_role) {
    throw broken_executor{
        "process_pool: a static object of this program uses a pool before main(), as it does again "
        "in "
        "the processes that become its workers, or a preload does; there they cannot: let them "
        "submit "
        "in main(), or in an initializer"};
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
  // This process was executed to be diverted, and was not: the library was not loaded in time.
  if (std::getenv(boot_variable) != nullptr && find_mark() == evidence::mark) {
    ::_exit(exits_undiverted);
  }
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

std::pair<ipc::packet_socket, ipc::packet_socket> boot_sockets() {
  auto both = ipc::packet_socket::pair();
  both.first.send(std::as_bytes(std::span{boot_mark}));
  return both;
}

const char* refusal_of_role(int exit_code) noexcept {
  switch (exit_code) {
    case exits_as_secure:
      return "it ended at once, before main(), since the system gave it more rights than this "
             "process "
             "has (AT_SECURE): is the program's file set-user-ID or set-group-ID, or has it "
             "capabilities, or does a security module give it another domain? Take that from the "
             "file, "
             "or use start_method::fork";
    case exits_without_note:
      return "it ended at once, before main(), since the variable CADRE_BOOT had been taken out of "
             "its "
             "environment: does a library that is loaded first (LD_PRELOAD) clean the environment?";
    case exits_unproven:
      return "it ended at once, before main(), since it could not prove that this process started "
             "it: "
             "does a filter of system calls (seccomp) deny getsockopt or recvfrom? Allow them, or "
             "start "
             "the workers before the filter";
    case exits_undiverted:
      return "it ended as soon as it used cadre, since cadre's library was not loaded before "
             "main(): "
             "link cadre directly to the program";
    default:
      return "";
  }
}

namespace {

/// Else the kernel would start the copy with AT_SECURE.
void require_one_identity() {
  if (::getuid() == ::geteuid() && ::getgid() == ::getegid()) return;
  throw broken_executor{
      "cadre starts no worker processes while the effective user or group of this program (" +
      std::to_string(::geteuid()) + ", " + std::to_string(::getegid()) + ") is not the real one (" +
      std::to_string(::getuid()) + ", " + std::to_string(::getgid()) +
      "): set real, effective and saved ids alike (setresuid, setresgid), or start workers before "
      "or "
      "after that, or by start_method::fork"};
}

}  // namespace

pid_t execute_again(role as, int boot) {
  require_one_identity();
  const diversion how = find_diversion();
  std::string preload;
  if (how == diversion::preload) linked_into_program(&preload);
  const unsigned depth = as == role::zygote ? my_depth + 1 : my_depth;
  const std::string note = static_cast<char>(as) + std::to_string(boot_fd) +
                           static_cast<char>(how) + std::to_string(depth);
  return spawn_plan{as, boot}.run(environment_with(note, preload));
}

}  // namespace cadre::process
