// SPDX-License-Identifier: MIT
// What submit_after and submit_every have below their types.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/state.hpp>
#include <cadre/executor.hpp>
#include <cadre/future.hpp>

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace cadre {

/// What a run of submit_every may return.
enum class series : std::uint8_t { goes_on, ends };

}  // namespace cadre

namespace cadre::detail {

/// At `due`, or now if that is past: gives the pending call to `where`, where it may run anywhere in
/// this process, or calls its run() if it is a relayed call. Takes over one reference.
CADRE_API void start_at(executor& where, time_point due, state_base& call,
                        const submit_options& options, bool relayed);

/// The call of a timer of an executor whose calls run elsewhere: when its time has come, it submits
/// another call, and has that one's result.
template <typename T, typename Submit>
class relayed_call final : public state<T> {
 public:
  relayed_call(Submit submit, std::stop_token stop)
      : state<T>{2}, submit_{std::move(submit)}, stop_{std::move(stop)} {}

  void follow_token() {
    if (stop_.stop_possible()) callback_.emplace(std::move(stop_), on_stop{this});
  }

  bool run(run_context&) noexcept override {
    future<T> f;
    try {
      f = submit_();
    } catch (...) {
      this->fail(std::current_exception());
      return false;
    }
    discard();
    inner_ = f;
    // acq_rel: pairs with the fetch_or in request_stop(), which then finds inner_; or here the wish.
    if ((steps_.fetch_or(submitted, std::memory_order_acq_rel) & stop_wished) != 0) {
      f.request_stop();
    }
    try {
      f.add_done_callback([self = ref{this}](const future<T>&) { self->forward(); });
    } catch (...) {  // no memory
      f.request_stop();
      this->fail(std::current_exception());
    }
    return true;
  }

  bool request_stop() noexcept override {
    if (this->get_status() != state_base::running) return false;
    // acq_rel: pairs with the fetch_or in run().
    const auto before = steps_.fetch_or(stop_wished, std::memory_order_acq_rel);
    return (before & submitted) == 0 || access::state_of(inner_).cancel() ||
           access::state_of(inner_).request_stop();
  }

  void for_each_awaited(void (*visit)(state_base&, void*), void* context) override {
    // acquire: pairs with the fetch_or in run(): inner_ is there.
    if ((steps_.load(std::memory_order_acquire) & submitted) != 0) {
      visit(access::state_of(inner_), context);
    }
  }

 private:
  static constexpr unsigned submitted = 1;
  static constexpr unsigned stop_wished = 2;

  struct on_stop {
    relayed_call* self;
    void operator()() const noexcept {
      if (!self->try_add_ref()) return;  // its destructor has begun, and waits for this function
      self->cancel();                    // once it is submitted, the token is the inner call's
      self->release();
    }
  };

  ~relayed_call() override {
    callback_.reset();
    if (!discarded_) submit_.~Submit();
  }

  void forward() noexcept {
    future<T> inner = inner_;
    this->finish(this->fill([&]() -> T { return std::move(inner).get(); }));
  }

  void discard() noexcept override {
    if (!std::exchange(discarded_, true)) submit_.~Submit();
  }

  union {
    Submit submit_;
  };
  bool discarded_ = false;
  future<T> inner_;  // set once, by run()
  sync::atomic<unsigned> steps_{0};
  std::stop_token stop_;
  std::optional<std::stop_callback<on_stop>> callback_;
};

class repeated_call;

/// How the runs of a series are submitted.
class CADRE_API repeated_work {
 public:
  repeated_work() = default;
  repeated_work(const repeated_work&) = delete;
  repeated_work& operator=(const repeated_work&) = delete;
  virtual ~repeated_work();

  /// Submits one run and tells `of` of it and of its end. Throws what submit throws.
  virtual void submit_run(repeated_call& of) = 0;
};

/// The state of the future of submit_every. Pending until the series ends.
class CADRE_API repeated_call final : public state<void> {
 public:
  struct rhythm {
    std::chrono::nanoseconds period;
    bool fixed_delay;
    std::optional<std::uint64_t> runs;
  };

  repeated_call(executor& where, const rhythm& how_often, std::shared_ptr<repeated_work> work);

  /// The first run is due. Takes over one reference.
  void start(time_point due);

  // --- its work ---

  void run_begins(state_base& run) noexcept;
  void run_ends(bool was_cancelled, std::exception_ptr thrown, bool was_last) noexcept;

  // --- who has ended it ---

  /// Blocks until no run runs, or is about to. Throws deadlock_error.
  void await_run();

  // --- timers ---

  void fire() noexcept;
  executor& where() const noexcept { return where_; }

 private:
  friend class timers;
  struct inside;
  class due_run;

  ~repeated_call() override;
  void discard() noexcept override;
  void end_with(std::exception_ptr reason) noexcept;
  void end_well() noexcept;
  void schedule() noexcept;

  executor& where_;
  const rhythm when_;
  const std::unique_ptr<inside> inside_;

  // timers', under their lock:
  repeated_call* previous_ = nullptr;
  repeated_call* next_ = nullptr;
  bool listed_ = false;
};

/// For submit_run(): `run` has been submitted.
template <typename T>
void track_run(repeated_call& of, const future<T>& run) {
  of.run_begins(access::state_of(run));
  run.add_done_callback([self = ref{&of}](const future<T>& ended) {
    const bool cancelled = ended.cancelled();
    std::exception_ptr thrown = cancelled ? nullptr : ended.exception();
    bool last = false;
    if constexpr (std::is_same_v<T, series>) {
      last = !cancelled && !thrown && ended.get() == series::ends;
    }
    self->run_ends(cancelled, std::move(thrown), last);
  });
}

}  // namespace cadre::detail
