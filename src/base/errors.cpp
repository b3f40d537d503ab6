// SPDX-License-Identifier: MIT
// One home for the type information of the exceptions, so that a program and its shared libraries
// catch the same types.
#include <cadre/errors.hpp>

#include <csignal>
#include <cstring>
#include <utility>

#include "base/signals.hpp"
#include "base/symbols.hpp"
#include "base/what_of.hpp"

namespace cadre {
namespace {

std::string called(const std::string& name) {
  return name.empty() ? "a call" : "the call \"" + name + '"';
}

std::string describe(const std::string& type_name, const std::string& message,
                     const remote_origin& origin) {
  std::string text = "cadre: " + called(origin.call) + " threw " + type_name;
  if (!message.empty()) text += ": " + message;
  return text + ", in process " + std::to_string(origin.pid) + " on " + origin.host +
         "; to get it as the type that it is, register that (cadre/register_exception.hpp)";
}

std::string hexadecimal(std::uint64_t number) {
  std::string digits;
  do {
    digits.insert(digits.begin(), "0123456789abcdef"[number % 16]);
    number /= 16;
  } while (number != 0);
  return "0x" + digits;
}

/// By what the call did itself, so that it will do it again.
bool is_crash(const worker_death& how) {
  switch (how.signal) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGABRT:
    case SIGTRAP:
      return true;
    default:
      return false;
  }
}

std::string advice_after(const worker_death& how) {
  if (!how.hint.empty()) return how.hint;
  if (is_crash(how)) {
    return std::string{
               "other calls are not affected; it will crash again if it is submitted again: "} +
           (how.frames.empty() ? "mend it first" : "mend it where how().backtrace() says");
  }
  return "other calls are not affected; submit it again, or with {.retries}, if it may run twice";
}

std::string describe(const worker_death& how) {
  std::string text = "cadre: worker process " + std::to_string(how.pid);
  if (how.signal != 0) {
    text += " was killed by " + signal_name(how.signal);
    if (how.fault_address) text += " at address " + hexadecimal(*how.fault_address);
  } else {
    text += " exited with code " + std::to_string(how.exit_code);
  }
  text += " while it ran " + called(how.call);
  if (how.peak_memory != 0) {
    text += "; it had used up to " + std::to_string(how.peak_memory >> 20) + " MiB";
  }
  return text + "; " + advice_after(how);
}

std::string describe(const std::string& who, const std::vector<std::exception_ptr>& exceptions) {
  std::string text = who + ": " + std::to_string(exceptions.size()) +
                     (exceptions.size() == 1 ? " call has failed" : " calls have failed");
  for (const auto& e : exceptions)
    (text += &e == &exceptions.front() ? ": " : "; ") += detail::what_of(e);
  return text;
}

std::string numbered(const std::vector<std::string>& lines) {
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    text += '#' + std::to_string(i) + ' ' + lines[i] + '\n';
  }
  return text;
}

}  // namespace

std::string detail::text_of(const char* text) {
  return text == nullptr ? std::string{} : std::string{text, ::strnlen(text, longest_text)};
}

std::string detail::what_of(const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& known) {
    const char* const what = known.what();
    return what != nullptr ? text_of(what) : "an exception whose what() is null";
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

error::~error() = default;
cancelled_error::~cancelled_error() = default;
invalid_state_error::~invalid_state_error() = default;
timeout_error::~timeout_error() = default;
broken_promise::~broken_promise() = default;
shutdown_error::~shutdown_error() = default;
broken_executor::~broken_executor() = default;
queue_full::~queue_full() = default;
deadlock_error::~deadlock_error() = default;
codec_error::~codec_error() = default;
exception_group::~exception_group() = default;
remote_origin::~remote_origin() = default;
remote_error::~remote_error() = default;
worker_died::~worker_died() = default;

remote_error::remote_error(std::string type_name, std::string message, remote_origin origin)
    : error{describe(type_name, message, origin)},
      remote_origin{std::move(origin)},
      type_name_{std::move(type_name)},
      message_{std::move(message)} {}

exception_group::exception_group(const std::string& who, std::vector<std::exception_ptr> exceptions)
    : error{describe(who, exceptions)},
      exceptions_{std::make_shared<const std::vector<std::exception_ptr>>(std::move(exceptions))} {}

worker_died::worker_died(worker_death how) : error{describe(how)}, how_{std::move(how)} {}

std::string remote_origin::backtrace() const {
  std::vector<std::string> lines;
  for (std::string& line : describe_frames(frames)) {
    lines.push_back(std::move(line));
    // What is further in than the throw is how exceptions work.
    for (const char* thrower : {"__cxa_throw+", "__cxa_rethrow+", "std::rethrow_exception("}) {
      if (!lines.empty() && lines.back().starts_with(thrower)) lines.clear();
    }
  }
  return numbered(lines);
}

std::string worker_death::backtrace() const { return numbered(describe_frames(frames)); }

const remote_origin* origin_of(const std::exception& e) noexcept {
  return dynamic_cast<const remote_origin*>(&e);
}

const remote_origin* origin_of(const std::exception_ptr& e) noexcept {
  if (!e) return nullptr;
  try {
    std::rethrow_exception(e);
  } catch (const remote_origin& origin) {
    return &origin;  // a part of the object that e keeps
  } catch (...) {
    return nullptr;
  }
}

}  // namespace cadre
