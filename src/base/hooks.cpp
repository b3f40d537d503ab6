// SPDX-License-Identifier: MIT
#include <cadre/detail/atomic.hpp>
#include <cadre/errors.hpp>
#include <cadre/hooks.hpp>

#include <cxxabi.h>
#include <unistd.h>

#include <memory>
#include <new>
#include <string>
#include <typeinfo>
#include <utility>

#include "base/symbols.hpp"
#include "base/what_of.hpp"

namespace cadre {
namespace {

/// As it was thrown, perhaps in another process.
std::string type_of(const std::exception_ptr& e) {
  if (const remote_origin* origin = origin_of(e);
      origin != nullptr && !origin->thrown_type.empty()) {
    return origin->thrown_type;
  }
  try {
    std::rethrow_exception(e);
  } catch (...) {
    const std::type_info* type = abi::__cxa_current_exception_type();
    return type != nullptr ? demangle(type->name()) : "an exception";
  }
}

void print_unhandled(const unhandled& u) noexcept {
  try {
    std::string line = "cadre: unhandled exception, from: " + std::string{u.where};
    if (!u.name.empty()) line += " \"" + std::string{u.name} + '"';
    line += ": " + type_of(u.error) + ": " + detail::what_of(u.error);
    line += "; nobody could catch it: ask futures for it, or install a hook (cadre/hooks.hpp)\n";
    // One write, so that lines of several threads do not mix.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
  } catch (...) {  // no memory for the message: nothing better can be done
  }
}

constinit sync::atomic<unhandled_hook> current_hook{&print_unhandled};

// What was last reported of a broken executor.
constinit sync::atomic<std::string*> last_broken{nullptr};

/// All calls of a broken executor fail with the same words, which are reported once. Others are new.
bool is_new(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const broken_executor& e) {
    try {
      auto mine = std::make_unique<std::string>(e.what());
      const std::string words = *mine;
      // acq_rel: pairs with itself on the thread that reported the one before.
      const std::unique_ptr<std::string> before{
          last_broken.exchange(mine.release(), std::memory_order_acq_rel)};
      return before == nullptr || *before != words;
    } catch (const std::bad_alloc&) {
      return true;
    }
  } catch (...) {
    return true;
  }
}

}  // namespace

unhandled_hook set_unhandled_hook(unhandled_hook hook) noexcept {
  // acq_rel: pairs with the acquire in report_unhandled(), so that what the hook needs is there.
  const unhandled_hook before =
      current_hook.exchange(hook != nullptr ? hook : &print_unhandled, std::memory_order_acq_rel);
  return before == &print_unhandled ? nullptr : before;
}

void detail::report_unhandled(std::string_view where, std::string_view name,
                              std::exception_ptr error) noexcept {
  if (!is_new(error)) return;
  // acquire: pairs with the exchange in set_unhandled_hook().
  current_hook.load(std::memory_order_acquire)({where, name, std::move(error)});
}

}  // namespace cadre
