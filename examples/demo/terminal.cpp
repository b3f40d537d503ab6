// SPDX-License-Identifier: MIT
#include "terminal.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <initializer_list>
#include <utility>

namespace demo {
namespace {

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  return set;
}

int wait_for(std::initializer_list<int> signals) {
  const sigset_t set = set_of(signals);
  int signal = 0;
  ::sigwait(&set, &signal);
  return signal;
}

}  // namespace

progress::progress() : visible_{::isatty(STDOUT_FILENO) == 1} {}

void progress::begin(std::string title, std::size_t total) {
  title_ = std::move(title);
  total_ = total;
  done_ = 0;
  begin_ = next_draw_ = clock::now();
}

void progress::step() {
  ++done_;
  if (!visible_) return;
  const auto now = clock::now();
  if (now >= next_draw_) draw(now);
}

void progress::end() {
  if (!visible_) return;
  std::fputs("\r\033[K", stdout);
  std::fflush(stdout);
}

void progress::draw(clock::time_point now) {
  constexpr std::size_t width = 24;
  constexpr std::chrono::milliseconds between_draws{100};
  next_draw_ = now + between_draws;

  const double share = static_cast<double>(done_) / static_cast<double>(total_);
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  std::string bar(width, '-');
  std::fill_n(bar.begin(), done_ * width / total_, '#');
  std::printf("\r%-10s[%s] %3.0f %%  %.0f files/s  %.1f s left\033[K", title_.c_str(), bar.c_str(),
              share * 100, static_cast<double>(done_) / std::max(seconds, 1e-9),
              seconds / share - seconds);
  std::fflush(stdout);
}

interrupt::interrupt() {
  const sigset_t awaited = set_of({SIGINT, SIGUSR1});  // SIGUSR1 is the destructor's
  ::pthread_sigmask(SIG_BLOCK, &awaited, nullptr);
  waiter_ = std::thread{[this] {
    if (wait_for({SIGINT, SIGUSR1}) != SIGINT) return;
    // From here on, Ctrl-C does what it does to any program.
    const sigset_t interrupt_only = set_of({SIGINT});
    ::pthread_sigmask(SIG_UNBLOCK, &interrupt_only, nullptr);
    source_.request_stop();
    wait_for({SIGUSR1});
  }};
}

interrupt::~interrupt() {
  ::pthread_kill(waiter_.native_handle(), SIGUSR1);
  waiter_.join();
}

}  // namespace demo
