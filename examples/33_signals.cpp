// SPDX-License-Identifier: MIT
// Ctrl-C and SIGTERM end a program in good order, with what is done so far.
#include <cadre/cadre.hpp>

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <iostream>
#include <stop_token>
#include <thread>
#include <vector>

int main() {
  // [signals]
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGINT, SIGTERM}) sigaddset(&ends, signal);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // before there is any other thread

  std::stop_source stop;
  std::jthread watcher{[&stop, ends](std::stop_token over) {
    // Else its destructor would wait for a signal that nobody sends.
    const std::stop_callback wake{over, [self = pthread_self()] { pthread_kill(self, SIGTERM); }};
    int signal = 0;
    sigwait(&ends, &signal);
    stop.request_stop();
  }};

  cadre::thread_pool_executor pool{2};
  const auto work = [](std::stop_token asked, int n) {
    while (n > 0 && !asked.stop_requested()) {
    }
    return n;
  };
  std::vector<cadre::future<int>> calls;
  for (int n = 0; n < 8; ++n) {
    calls.push_back(pool.submit({.stop_token = stop.get_token()}, work, n));
  }
  // [/signals]

  ::kill(::getpid(), SIGTERM);  // as somebody may do

  int done = 0;
  int cancelled = 0;
  for (const auto& call : cadre::as_completed(calls)) ++(call.cancelled() ? cancelled : done);
  std::cout << done << " done, " << cancelled << " cancelled\n";
  return done + cancelled == 8 ? 0 : 1;
}
