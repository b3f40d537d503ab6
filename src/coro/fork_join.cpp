// SPDX-License-Identifier: MIT
#include <cadre/detail/fork_join.hpp>

#include <utility>

#include "coro/forked_chain.hpp"

namespace cadre::detail {

bool fork_entry::run(run_context& context) noexcept {
  context.census = nullptr;  // who awaits it may go on in this worker's queue
  try {
    using ref = detail::ref<forked_chain>;
    const ref made{new forked_chain{*join_, *task_}, ref::adopt{}};
    // relaxed: this entry counts as well, so nobody comes to the end.
    join_->open_.fetch_add(1, std::memory_order_relaxed);
    return made->begin(context);
  } catch (...) {
    context.about_to_publish(false);
    fail(std::current_exception());
    return false;
  }
}

void fork_entry::fail(std::exception_ptr reason) noexcept {
  task_->fail(*task_->link, or_cancelled(std::move(reason)));
}

std::string_view fork_entry::name() const noexcept { return join_->parent_.chain->chain_name(); }

void fork_entry::operator delete(fork_entry* self, std::destroying_delete_t) noexcept {
  self->join_->arrive();
}

void fork_join::begin(forked_task* tasks, fork_entry* entries, std::size_t count) {
  task_chain& chain = *parent_.chain;
  chain.open(*this);
  tasks_ = tasks;
  entries_ = entries;
  count_ = static_cast<std::uint32_t>(count);
  // relaxed: the queue orders what others do with it.
  open_.store(count_, std::memory_order_relaxed);
  try {
    for (std::size_t i = count - 1; i != 0; --i) {
      entries[i - 1].join_ = this;
      entries[i - 1].task_ = &tasks[i];
      chain.fork(entries[i - 1]);
      ++handed_out_;
    }
  } catch (...) {
    // The executor has no memory, or takes no more: the others are run here.
  }
  taken_back_ = count_ - 1 - handed_out_;
  run_next();
}

void fork_join::run_next() noexcept {
  chain_link& next = *tasks_[next_++].link;
  next.chain = parent_.chain;
  next.where = parent_.where;
  next.forked = true;
  next.join = this;
  parent_.chain->run_next(next);
}

void fork_join::child_over() noexcept {
  if (next_ < count_ - handed_out_) return run_next();
  if (next_ != count_ && parent_.where->take_back(entries_[next_ - 1])) {
    ++taken_back_;
    return run_next();
  }
  next_ = count_;  // the others were taken later than that one, or not at all: somebody will
  task_chain& chain = *parent_.chain;
  if (1 + taken_back_ != count_) return chain.wait_for(*this);
  chain.close(*this);
  chain.run_next(parent_);
}

}  // namespace cadre::detail
