// SPDX-License-Identifier: MIT
#include "process/worker_process.hpp"

#include <signal.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <span>
#include <utility>

#include "process/crash_report.hpp"
#include "process/descendants.hpp"
#include "process/end_signal.hpp"
#include "process/role.hpp"
#include "process/zygote.hpp"

// ThreadSanitizer has a thread of its own, which it starts anew in a forked child.
extern "C" [[gnu::weak]] void __tsan_init();

// Of AddressSanitizer, which would search for leaks at the end of each worker: that takes long, and fails
// in a sandbox.
extern "C" [[gnu::weak]] void __lsan_do_leak_check();

// Of a build with --coverage.
extern "C" [[gnu::weak]] void __gcov_dump();

namespace cadre::process {
namespace {

// Of a worker forked from a program that may have written to files and not flushed them.
constinit bool output_is_copied = false;

}  // namespace

void become_worker(const start_request& request, std::vector<ipc::descriptor> fds,
                   ipc::packet_socket control, pid_t parent) noexcept {
  // The thread that forked lives as long as its process: it is the zygote's only one, or the reaper.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!request.spec.keep_descendants) become_subreaper();
  if (::getppid() != parent) ::_exit(0);
  ::prctl(PR_SET_NAME, "cadre-worker");
  // What a terminal, or kill(0) in a call, does to a group is then for this worker and what it started.
  ::setpgid(0, 0);
  ::signal(SIGTTOU, SIG_IGN);  // prints to a terminal whose foreground it is not
  const bool forked = request.spec.method == start_method::fork;
  if (forked) {
    count_fork();
    forget_handlers();
  }
  if (__tsan_init != nullptr) {
    // ThreadSanitizer holds back handlers while a thread sleeps on a futex.
    ::signal(SIGTERM, SIG_DFL);
  } else if (!has_handler(SIGTERM)) {
    take_end_signal(forked ? is_ignored(SIGTERM) : ignores(request.surroundings, SIGTERM));
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);

  worker_entry* entry = nullptr;
  std::vector<int> entry_fds;
  try {
    const std::size_t first_of_entry = 1 + request.surroundings.descriptor_count();
    adopt(request.surroundings, std::span{fds}.subspan(std::min<std::size_t>(1, fds.size())));
    const sandbox_spec confinement = with_absolute_paths(request.spec.sandbox);
    apply_settings(request.spec);
    module_resolver modules;
    modules.learn(0, request.module);
    entry = reinterpret_cast<worker_entry*>(modules.function({0, request.entry.offset}));
    record_crashes(fds.at(0));
    for (auto fd = fds.begin() + static_cast<std::ptrdiff_t>(first_of_entry); fd != fds.end();
         ++fd) {
      entry_fds.push_back(fd->release());
    }
    fds.clear();
    adopt_limits(request.surroundings);
    apply_limits(request.spec);
    apply_sandbox(confinement);
    send(control, worker_started{request.id, ::getpid()});
  } catch (const std::exception& e) {
    send(control, failure_of(request.id, e));
    end_process(EXIT_FAILURE);
  }
  control.close();
  const pid_t here = ::getpid();
  // dies here: the survivor sees `died`; test
  // unit.method/start_by.reports_a_signal_that_ended_it
  const int exit_code = entry(request.argument, entry_fds);
  // A copy of the worker, which a call made by fork(): what is buffered is the worker's to print.
  if (::getpid() != here) ::_exit(0);
  end_in_good_order(exit_code);
}

void run_executed_worker(ipc::packet_socket boot) noexcept {
  std::optional<received_message> received = receive(boot);
  boot.close();
  auto* request = received ? std::get_if<start_request>(&received->message) : nullptr;
  if (request == nullptr || received->descriptors.empty()) ::_exit(EXIT_FAILURE);
  ipc::packet_socket control{std::move(received->descriptors.front())};
  received->descriptors.erase(received->descriptors.begin());
  become_worker(*request, std::move(received->descriptors), std::move(control),
                executor_of_this_process());
}

bool has_one_thread() noexcept {
  struct stat threads {};
  const nlink_t own = __tsan_init == nullptr ? 1 : 2;
  // A directory has 2 links and 1 for each directory in it.
  return ::stat("/proc/self/task", &threads) == 0 && threads.st_nlink <= 2 + own;
}

void flush_output() noexcept {
  std::cout.flush();
  std::clog.flush();
  std::fflush(output_is_copied ? stdout : nullptr);
}

void forget_copied_output() noexcept {
  output_is_copied = true;
  ::__fpurge(stdout);
}

void end_in_good_order(int exit_code) noexcept {
  if (output_is_copied || __lsan_do_leak_check != nullptr) end_process(exit_code);
  std::exit(exit_code);
}

void end_process(int exit_code) noexcept {
  flush_output();
  if (__gcov_dump != nullptr) __gcov_dump();
  ::_exit(exit_code);
}

}  // namespace cadre::process
