// SPDX-License-Identifier: MIT
#include <cadre/coro.hpp>
#include <cadre/errors.hpp>

#include <mutex>
#include <string>
#include <utility>

#include "future/waiter.hpp"
#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre::detail {

/// Shared by the thread and those who are about to wake it.
class this_thread_executor::impl final : public task_host,
                                         public std::enable_shared_from_this<impl> {
 public:
  void push(state_base& call) {
    const auto keep = shared_from_this();  // the thread may be off before it is woken
    {
      const std::lock_guard lock{mutex_};
      call.queue_next = nullptr;
      (first_ == nullptr ? first_ : last_->queue_next) = &call;
      last_ = &call;
    }
    parker_.unpark();
  }

  void run() {
    for (;;) {
      state_base* call = nullptr;
      {
        const std::lock_guard lock{mutex_};
        call = std::exchange(first_, nullptr);
        if (call == nullptr && held_ == 0) return;
      }
      if (call == nullptr) {
        const blocking_scope scope{nullptr, 0, false};
        parker_.park();
      }
      while (call != nullptr) {
        state_base* const now = std::exchange(call, call->queue_next);
        run_context context;
        if (now->is_posted() || now->try_start()) now->run(context);
        now->release();
      }
    }
  }

  void hold() override {
    const std::lock_guard lock{mutex_};
    ++held_;
  }
  void release() noexcept override {
    const auto keep = shared_from_this();
    {
      const std::lock_guard lock{mutex_};
      --held_;
    }
    parker_.unpark();
  }
  void resume_task(state_base& rest, int) override { push(rest); }
  void enter(call_registry::entry&) noexcept override {}
  void leave(call_registry::entry&) noexcept override {}
  bool resumes_inline() const noexcept override { return false; }

 private:
  sync::mutex mutex_;
  state_base* first_ = nullptr;  // guarded by mutex_, as the next two
  state_base* last_ = nullptr;
  std::size_t held_ = 0;
  sync::parker parker_;
};

this_thread_executor::this_thread_executor() : impl_{std::make_shared<impl>()} {}
this_thread_executor::~this_thread_executor() = default;

void this_thread_executor::run() { impl_->run(); }
void this_thread_executor::do_enqueue(state_base& call, const submit_options& options) {
  refuse_limits("sync_wait", options);
  impl_->push(call);
}
task_host& this_thread_executor::do_task_host() noexcept { return *impl_; }

void throw_empty_task(const char* who) {
  throw invalid_state_error{std::string{who} +
                            ": the task is empty (default-constructed, moved from, awaited or "
                            "spawned before); call its coroutine again for another one"};
}

}  // namespace cadre::detail
