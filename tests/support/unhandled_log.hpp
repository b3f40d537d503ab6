// SPDX-License-Identifier: MIT
// Collects what would go to stderr: exceptions that nobody caught.
#pragma once

#include <cadre/hooks.hpp>

#include <exception>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace cadre::test {

/// While it lives, unhandled exceptions become lines of entries(). One at a time.
class unhandled_log {
 public:
  unhandled_log() {
    lines().clear();
    before_ = set_unhandled_hook(&append);
  }
  ~unhandled_log() { set_unhandled_hook(before_); }
  unhandled_log(const unhandled_log&) = delete;
  unhandled_log& operator=(const unhandled_log&) = delete;

  /// "where name: what", in the order of arrival.
  std::vector<std::string> entries() const {
    const std::lock_guard lock{mutex()};
    return lines();
  }

 private:
  static void append(const unhandled& u) noexcept {
    std::string line{u.where};
    if (!u.name.empty()) (line += ' ') += u.name;
    try {
      std::rethrow_exception(u.error);
    } catch (const std::exception& e) {
      (line += ": ") += e.what();
    } catch (...) {
      line += ": unknown";
    }
    const std::lock_guard lock{mutex()};
    lines().push_back(std::move(line));
  }

  static std::mutex& mutex() {
    static std::mutex instance;
    return instance;
  }
  static std::vector<std::string>& lines() {
    static std::vector<std::string> instance;
    return instance;
  }

  unhandled_hook before_;
};

}  // namespace cadre::test
