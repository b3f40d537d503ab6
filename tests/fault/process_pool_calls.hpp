// SPDX-License-Identifier: MIT
// Calls that end badly, and what the tests of the process pool's faults ask of their futures.
#pragma once

#include <cadre/codec.hpp>
#include <cadre/errors.hpp>
#include <cadre/future.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {

enum class way : std::uint8_t { harmless, throws, exits, is_killed, crashes };

inline constexpr way deadly_ways[] = {way::exits, way::is_killed, way::crashes};

inline void end_by(way how) {
  switch (how) {
    case way::harmless:
      return;
    case way::throws:
      throw std::domain_error{"thrown on purpose"};
    case way::exits:
      ::_exit(7);
    case way::is_killed:
      ::raise(SIGKILL);
      return;
    case way::crashes:
      ::signal(SIGSEGV, SIG_DFL);  // sanitizers would make an exit of it
      ::raise(SIGSEGV);
      return;
  }
}

/// Ends the process that encodes or decodes it.
struct trap {
  way on_encode = way::harmless;
  way on_decode = way::harmless;
};

}  // namespace cadre::test

template <>
struct cadre::codec<cadre::test::trap> {
  static void encode(encoder& out, const test::trap& value) {
    test::end_by(value.on_encode);
    ::cadre::encode(out, value.on_decode);
  }
  static test::trap decode(decoder& in) {
    const auto how = ::cadre::decode<test::way>(in);
    test::end_by(how);
    return {};
  }
};

namespace cadre::test {

/// Passes through all five stages of a call.
inline trap meet_traps(trap, way in_run, way on_encode, way on_decode) {
  end_by(in_run);
  return {on_encode, on_decode};
}

inline int add_one(int n) { return n + 1; }
inline int own_pid() { return ::getpid(); }

inline int hang(gate_handle at) {
  arrive(at, 0);
  for (;;) ::pause();
}

inline int end(way how) {
  end_by(how);
  return 0;
}

inline process_pool_options workers(int count) {
  process_pool_options options;
  options.max_workers = count;
  return options;
}

inline constexpr std::array methods{start_method::zygote, start_method::exec, start_method::fork};

inline process_pool_options one_worker_by(start_method how) {
  process_pool_options options = workers(1);
  options.start_method = how;
  return options;
}

/// How the worker of that call died.
template <typename T>
worker_death death_of(const future<T>& f) {
  try {
    f.get_for(medium_time);
  } catch (const worker_died& e) {
    return e.how();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "it failed otherwise: " << e.what();
    return {};
  }
  ADD_FAILURE() << "it did not fail";
  return {};
}

/// The message of the Error that it fails with.
template <typename Error, typename T>
std::string failure_of(const future<T>& f) {
  if (!f.wait_for(medium_time)) {
    ADD_FAILURE() << "it is not done in time";
    return {};
  }
  try {
    f.get();
  } catch (const Error& e) {
    return e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "it failed otherwise: " << e.what();
    return {};
  }
  ADD_FAILURE() << "it did not fail";
  return {};
}

}  // namespace cadre::test
