// SPDX-License-Identifier: MIT
#include "support/hang_detector.hpp"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <vector>

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

/// One thread's stack, written by a signal handler on that thread.
struct captured_stack {
  std::array<std::uintptr_t, 64> frames;
  std::size_t size = 0;
  std::atomic<bool> complete{false};
};
captured_stack captured;

const int capture_signal = SIGRTMIN + 7;

_Unwind_Reason_Code add_frame(_Unwind_Context* context, void*) {
  if (captured.size == captured.frames.size()) return _URC_END_OF_STACK;
  captured.frames[captured.size++] = _Unwind_GetIP(context);
  return _URC_NO_REASON;
}

void capture(int) {
  _Unwind_Backtrace(&add_frame, nullptr);
  captured.complete.store(true);
}

/// Installs the handler behind ThreadSanitizer's back: that would hold the signal until the thread
/// makes a library call, which a thread that hangs never does.
void install_handler() {
  struct sigaction action {};
  action.sa_handler = &capture;
  action.sa_flags = SA_RESTART;
  void* libc = ::dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  void* libc_sigaction = libc != nullptr ? ::dlsym(libc, "sigaction") : nullptr;
  if (libc_sigaction == nullptr) return;
  reinterpret_cast<decltype(&::sigaction)>(libc_sigaction)(capture_signal, &action, nullptr);
  ::dlclose(libc);
}

/// Prints frames that belong to one object file, by binutils' addr2line, which comes with g++.
void print_frames(const std::string& object, const std::vector<std::string>& addresses) {
  std::vector<std::string> words{"addr2line", "-Cfpi", "-e", object};
  words.insert(words.end(), addresses.begin(), addresses.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t to_stderr;
  ::posix_spawn_file_actions_init(&to_stderr);
  ::posix_spawn_file_actions_adddup2(&to_stderr, STDERR_FILENO, STDOUT_FILENO);
  pid_t pid = 0;
  if (::posix_spawnp(&pid, argv[0], &to_stderr, nullptr, argv.data(), environ) == 0) {
    ::waitpid(pid, nullptr, 0);
  } else {
    for (const std::string& address : addresses) {
      std::fprintf(stderr, "%s(+%s)\n", object.c_str(), address.c_str());
    }
  }
  ::posix_spawn_file_actions_destroy(&to_stderr);
}

void print_stack(std::span<const std::uintptr_t> frames) {
  std::string object;
  std::vector<std::string> addresses;
  for (const std::uintptr_t frame : frames) {
    Dl_info info{};
    void* extra = nullptr;
    // One back: the return address may already belong to the next line, or function.
    if (::dladdr1(reinterpret_cast<void*>(frame - 1), &info, &extra, RTLD_DL_LINKMAP) == 0)
      continue;
    const auto* const loaded = static_cast<const link_map*>(extra);
    std::string file = std::filesystem::exists(info.dli_fname) ? info.dli_fname : "";
    // A child program's own name; addr2line's, in addr2line.
    if (file == "/proc/self/exe") file = std::filesystem::read_symlink(file);
    if (file != object) {
      if (!addresses.empty()) print_frames(object, addresses);
      object = file;
      addresses.clear();
    }
    std::array<char, 20> offset{};
    std::snprintf(offset.data(), offset.size(), "0x%zx", frame - 1 - loaded->l_addr);
    addresses.emplace_back(offset.data());
  }
  if (!addresses.empty()) print_frames(object, addresses);
}

/// A test that hangs may have taken its process all descriptors; to tell of it some are needed.
void allow_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

void print_all_stacks() {
  allow_descriptors();
  install_handler();
  for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
    const int tid = std::stoi(task.path().filename());
    if (tid == ::gettid()) continue;
    std::string name;
    std::getline(std::ifstream{task.path() / "comm"}, name);
    std::fprintf(stderr, "\nthread %d (%s)\n", tid, name.c_str());
    captured.size = 0;
    captured.complete.store(false);
    ::syscall(SYS_tgkill, ::getpid(), tid, capture_signal);
    for (int turn = 0; turn < 1000 && !captured.complete.load(); ++turn) {
      std::this_thread::sleep_for(1ms);
    }
    if (captured.complete.load()) {
      print_stack({captured.frames.data(), captured.size});
    } else {
      std::fputs("does not answer: it blocks all signals, or is of the sanitizer\n", stderr);
    }
  }
}

hang_detector::hang_detector(std::chrono::milliseconds limit)
    : limit_{limit}, watcher_{[this] { watch(); }} {}

hang_detector::~hang_detector() {
  {
    const std::lock_guard lock{mutex_};
    stop_ = true;
  }
  changed_.notify_one();
  watcher_.join();
}

void hang_detector::OnTestStart(const testing::TestInfo& test) {
  const std::lock_guard lock{mutex_};
  test_ = std::string{test.test_suite_name()} + "." + test.name();
  deadline_ = std::chrono::steady_clock::now() + limit_;
  changed_.notify_one();
}

void hang_detector::OnTestEnd(const testing::TestInfo&) {
  const std::lock_guard lock{mutex_};
  deadline_.reset();
  changed_.notify_one();
}

void hang_detector::watch() {
  std::unique_lock lock{mutex_};
  while (!stop_) {
    if (!deadline_) {
      changed_.wait(lock);
    } else if (std::chrono::steady_clock::now() < *deadline_) {
      changed_.wait_until(lock, std::chrono::steady_clock::time_point{*deadline_});
    } else {
      std::fprintf(stderr, "\n%s hangs: it still runs after %lld ms. All stacks:\n", test_.c_str(),
                   static_cast<long long>(limit_.count()));
      print_all_stacks();
      std::abort();
    }
  }
}

}  // namespace cadre::test
