// SPDX-License-Identifier: MIT
#include "process/zygote_link.hpp"

#include <signal.h>

#include <chrono>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <variant>

#include "process/role.hpp"
#include "process/start_limits.hpp"
#include "process/worker_process.hpp"

namespace cadre::process {

std::shared_ptr<zygote_link> zygote_link::boot(kind what, std::uint64_t number) {
  auto [ours, theirs] = boot_sockets();
  process_handle child{execute_again(role::zygote, theirs.fd()), {}};
  theirs.close();
  try {
    child.pidfd = open_pidfd(child.pid);
    return std::make_shared<zygote_link>(std::move(what), number, std::move(child),
                                         std::move(ours));
  } catch (const std::exception&) {
    end_child(child);
    throw;
  }
}

bool zygote_link::is_greeted() const noexcept {
  const std::lock_guard lock{mutex_};
  return state_ == state::greeted;
}

bool zygote_link::greet(const start_message* first) noexcept {
  const auto* const said = first != nullptr ? std::get_if<hello>(first) : nullptr;
  const bool fits = said != nullptr && said->protocol == start_protocol;
  {
    const std::lock_guard lock{mutex_};
    state_ = fits ? state::greeted : state::of_another_version;
  }
  return fits;
}

start_failed zygote_link::why_lost(std::uint64_t id, const child_end& how) const {
  if (preloads()) {
    if (how.exit_code == exits_thread_ended) {
      return {id, "the preload of the pool ended its thread, by pthread_exit() or pthread_cancel()",
              false};
    }
    return {id, "the zygote " + describe(how) + " while it ran the preload of the pool",
            how.signal == SIGKILL};
  }
  const std::lock_guard lock{mutex_};
  if (state_ == state::greeted) return {id, "the zygote " + describe(how), true};
  if (state_ == state::of_another_version) {
    return {id, "the zygote has loaded another version of cadre than this program", false};
  }
  const std::string zygote = "the zygote (this program, executed again) ";
  if (was_late) {
    return {id,
            zygote + "did not answer within " +
                std::to_string(start_ticks * tick / std::chrono::seconds{1}) +
                " s; do its static objects wait for something when they are initialised?",
            false};
  }
  if (const std::string why = refusal_of_role(how.exit_code.value_or(0)); !why.empty()) {
    return {id, zygote + "took no role: " + why, false};
  }
  // Somebody killed it, or the kernel for want of memory: the next one may live.
  return {id,
          zygote + describe(how) +
              " before it was ready. Is the program started in the usual way, not through ld.so or "
              "an emulator, and do its static objects initialise without its standard input?",
          how.signal == SIGKILL};
}

bool zygote_link::try_send(const unsent& what) {
  // If it is closed, the reaper will notice that the zygote is gone.
  return socket.send(what.packet, what.fds, ipc::packet_socket::mode::dont_wait) !=
         ipc::packet_socket::outcome::would_block;
}

void zygote_link::send(std::uint64_t id, const start_message& message, std::span<const int> fds) {
  unsent whole{id, packet_of(message), {fds.begin(), fds.end()}};
  const std::lock_guard lock{mutex_};
  if (state_ != state::of_another_version && unsent_.empty() && try_send(whole)) return;
  unsent_.push_back(std::move(whole));
}

void zygote_link::forget(std::uint64_t id) noexcept {
  const std::lock_guard lock{mutex_};
  std::erase_if(unsent_, [id](const unsent& each) { return each.id == id; });
}

bool zygote_link::flush() noexcept {
  const std::lock_guard lock{mutex_};
  try {
    while (state_ != state::of_another_version && !unsent_.empty() && try_send(unsent_.front())) {
      unsent_.pop_front();
    }
  } catch (const std::system_error&) {
    // Memory or descriptors on their way are short: again later.
  }
  return !unsent_.empty();
}

}  // namespace cadre::process
