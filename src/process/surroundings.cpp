// SPDX-License-Identifier: MIT
#include "process/surroundings.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/threads.hpp"

namespace cadre::process {
namespace {

// Of a larger environment a descriptor is sent, which costs 20 us; a start message has at most 64 KiB,
// also for the settings and the argument of the worker.
constexpr std::size_t most_in_message = std::size_t{16} << 10;

// As in the C library: those between are its own.
constexpr int first_real_time_signal = 34;
constexpr int last_signal = 64;

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error{"a worker process could not be given " + what + ": " +
                           std::generic_category().message(errno)};
}

std::optional<std::uint32_t> parse_octal(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (failed != std::errc{} || text.empty()) return std::nullopt;
  return value;
}

/// None if the program may not search its directory. There a worker cannot come from elsewhere: the
/// zygote is to be booted there, which process_identity sees to.
ipc::descriptor working_directory() {
  const int fd = ::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && (errno == EACCES || errno == ENOENT)) return {};
  return ipc::own(fd, "cadre: cannot open the working directory for a worker");
}

std::string environment() {
  std::string all;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    all.append(*variable, std::strlen(*variable) + 1);
  }
  return all;
}

ipc::descriptor in_sealed_memory(const std::string& text) {
  ipc::descriptor memory =
      ipc::own(::memfd_create("cadre-environment", MFD_CLOEXEC | MFD_ALLOW_SEALING),
               "cadre: cannot make memory for the environment of a worker (memfd_create)");
  std::string_view rest{text};
  while (!rest.empty()) {
    const ssize_t written = ::write(memory.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) ipc::throw_errno("cadre: no memory for the environment of a worker");
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  return memory;
}

/// For kernels whose status has no umask (before Linux 4.7), and without /proc: umask() must not be
/// changed in this process, whose other threads make files, but may be in a thread that leaves it.
std::optional<std::uint32_t> umask_by_a_thread() {
  std::optional<std::uint32_t> mask;
  start_thread([&] {
    if (::unshare(CLONE_FS) == 0) mask = ::umask(0);
  }).join();
  return mask;
}

constexpr std::uint64_t bit_of(int signal) {
  return std::uint64_t{1} << static_cast<unsigned>(signal - 1);
}

bool is_users(int signal) { return signal < __SIGRTMIN || signal >= first_real_time_signal; }

std::uint64_t ignored_by_asking() {
  std::uint64_t all = 0;
  for (int signal = 1; signal <= last_signal; ++signal) {
    if (is_ignored(signal)) all |= bit_of(signal);
  }
  return all;
}

void set_environment(std::string_view all) {
  const auto count = static_cast<std::size_t>(std::count(all.begin(), all.end(), '\0'));
  // Never freed: environ, and whoever asked getenv(), refer to them.
  static char* text = nullptr;
  static char** variables = nullptr;
  static std::size_t size = 0;
  // Mostly so in a zygote, which does this for each worker that it executes.
  if (variables != nullptr && environ == variables && all == std::string_view{text, size}) return;
  size = all.size();
  text = new char[all.size() + 1];
  variables = new char*[count + 1];
  std::copy(all.begin(), all.end(), text);
  char* at = text;
  for (std::size_t i = 0; i < count; ++i, at += std::strlen(at) + 1) variables[i] = at;
  variables[count] = nullptr;
  environ = variables;
}

std::string read_all(const ipc::descriptor& memory, std::uint64_t size) {
  std::string text(static_cast<std::size_t>(size), '\0');
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t got =
        ::pread(memory.get(), text.data() + at, text.size() - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail("the environment of the program");
    at += static_cast<std::size_t>(got);
  }
  return text;
}

void ignore_signals(std::uint64_t which) {
  for (int signal = 1; signal <= last_signal; ++signal) {
    if ((which & bit_of(signal)) != 0 && is_users(signal) && signal != SIGTERM)
      ::signal(signal, SIG_IGN);
  }
}

}  // namespace

bool ignores(const surroundings& from, int signal) noexcept {
  return (from.ignored_signals & bit_of(signal)) != 0;
}

bool is_ignored(int signal) noexcept {
  struct sigaction present {};
  return ::sigaction(signal, nullptr, &present) == 0 && present.sa_handler == SIG_IGN;
}

bool has_handler(int signal) noexcept {
  struct sigaction present {};
  return ::sigaction(signal, nullptr, &present) == 0 && present.sa_handler != SIG_IGN &&
         present.sa_handler != SIG_DFL;
}

surroundings_snapshot take_snapshot(const process_status& status) {
  surroundings_snapshot here;
  surroundings& values = here.values;
  if (ipc::descriptor directory = working_directory()) {
    values.has_directory = true;
    here.descriptors.push_back(std::move(directory));
  }
  values.has_environment = true;
  values.environment = environment();
  if (values.environment.size() > most_in_message) {
    here.descriptors.push_back(in_sealed_memory(values.environment));
    values.environment_size = std::exchange(values.environment, {}).size();
  }
  values.umask = parse_octal(status.field("Umask"));
  if (!values.umask) values.umask = umask_by_a_thread();
  const auto ignored = status.set("SigIgn");
  values.ignored_signals = ignored ? *ignored : ignored_by_asking();
  values.limits = present_limits();
  return here;
}

std::vector<std::array<std::uint64_t, 2>> present_limits() {
  std::vector<std::array<std::uint64_t, 2>> all;
  all.reserve(RLIM_NLIMITS);
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit present{};
    ::getrlimit(static_cast<__rlimit_resource_t>(resource), &present);
    all.push_back({present.rlim_cur, present.rlim_max});
  }
  return all;
}

void adopt(const surroundings& from, std::span<const ipc::descriptor> descriptors) {
  adopt_place(from, descriptors);
  ignore_signals(from.ignored_signals);
}

void adopt_place(const surroundings& from, std::span<const ipc::descriptor> descriptors) {
  if (descriptors.size() < from.descriptor_count()) {
    throw std::runtime_error{"a worker process was not given its descriptors"};
  }
  descriptors = descriptors.first(from.descriptor_count());
  if (from.has_directory && ::fchdir(descriptors.front().get()) != 0) {
    fail("the working directory of the program");
  }
  if (from.environment_size != 0) {
    set_environment(read_all(descriptors.back(), from.environment_size));
  } else if (from.has_environment) {
    set_environment(from.environment);
  }
  if (from.umask) ::umask(*from.umask);
}

void adopt_limits(const surroundings& from) {
  for (std::size_t i = 0; i < from.limits.size() && i < RLIM_NLIMITS; ++i) {
    const auto resource = static_cast<__rlimit_resource_t>(i);
    rlimit present{};
    if (::getrlimit(resource, &present) != 0) continue;
    rlimit wanted{from.limits[i][0], from.limits[i][1]};
    if (wanted.rlim_cur == present.rlim_cur && wanted.rlim_max == present.rlim_max) continue;
    if (::setrlimit(resource, &wanted) == 0) continue;
    // The program's hard limit was raised by somebody else (prlimit) after its zygote was booted.
    wanted = {std::min(wanted.rlim_cur, present.rlim_max), present.rlim_max};
    ::setrlimit(resource, &wanted);
  }
}

void forget_handlers() noexcept {
  for (int signal = 1; signal <= last_signal; ++signal) {
    const bool fault = signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE ||
                       signal == SIGILL || signal == SIGABRT || signal == SIGTRAP ||
                       signal == SIGSYS;
    if (!fault && has_handler(signal)) ::signal(signal, SIG_DFL);
  }
}

}  // namespace cadre::process
