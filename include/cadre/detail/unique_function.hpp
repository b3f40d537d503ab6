// SPDX-License-Identifier: MIT
// unique_function<R(Args...)>: a move-only std::function, without the weight of <functional>.
#pragma once

#include <type_traits>
#include <utility>

namespace cadre::detail {

template <typename Signature>
class unique_function;

template <typename R, typename... Args>
class unique_function<R(Args...)> {
 public:
  unique_function() noexcept = default;
  unique_function(std::nullptr_t) noexcept {}

  template <typename Function>
    requires(!std::is_same_v<std::remove_cvref_t<Function>, unique_function> &&
             std::is_invocable_r_v<R, std::decay_t<Function>&, Args...>)
  unique_function(Function&& function)
      : held_{new holder<std::decay_t<Function>>{std::forward<Function>(function)}} {}

  unique_function(unique_function&& other) noexcept : held_{std::exchange(other.held_, nullptr)} {}
  unique_function& operator=(unique_function&& other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~unique_function() { delete held_; }

  explicit operator bool() const noexcept { return held_ != nullptr; }
  R operator()(Args... args) const { return held_->call(std::forward<Args>(args)...); }

 private:
  struct base {
    virtual ~base() = default;
    virtual R call(Args... args) = 0;
  };
  template <typename Function>
  struct holder final : base {
    explicit holder(Function f) : function{std::move(f)} {}
    R call(Args... args) override { return function(std::forward<Args>(args)...); }
    Function function;
  };

  base* held_ = nullptr;
};

}  // namespace cadre::detail
