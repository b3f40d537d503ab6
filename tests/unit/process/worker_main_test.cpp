// SPDX-License-Identifier: MIT
#include "process/worker_main.hpp"

#include <cadre/codec.hpp>

#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ipc/channel.hpp"
#include "ipc/event.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/region.hpp"
#include "process/frame.hpp"
#include "process/packet.hpp"
#include "process/remote_worker.hpp"
#include "process/shared_page.hpp"
#include "process/worker_starter.hpp"
#include "support/timeouts.hpp"
#include "unit/process/one_worker.hpp"

namespace cadre::process {
namespace {

constexpr std::uint64_t max_message = 1000;

/// A worker process, and a pool that sends it what the test likes.
class any_pool {
 public:
  any_pool() {
    const worker_argument all{
        .max_message = max_message, .pool = "test", .secrets = {.to_worker = 7, .to_parent = 8}};
    encoder argument;
    encode(argument, all);
    const std::array fds{mine_.handle.get(), page_.handle.get(), bell_.fd(), hello_.second.fd()};
    process_ =
        test::start_and_wait(*starter_, {}, &worker_main, argument.bytes(), fds,
                             [this](const death_report& report) { death_.set_value(report); })
            .id;
    hello_.second.close();
    std::array<std::byte, 16> buffer;
    const auto packet = hello_.first.receive(buffer);
    theirs_ = ipc::region::open(packet.descriptors.at(0), size, ipc::region::access::mine);
    channel_.emplace(ipc::own_half_of(mine_.memory), ipc::peer_half_of(theirs_));
  }

  /// As the next frame.
  void send(request_header header, std::span<const std::byte> body = {}) {
    header.check = checks_.next();
    checks_.advance();
    send_unchecked(header, body);
  }
  void send_unchecked(const request_header& header, std::span<const std::byte> body = {}) {
    write(std::as_bytes(std::span{&header, 1}));
    write(body);
  }
  void write(std::span<const std::byte> bytes) {
    channel_->write_some(bytes);
    channel_->publish();
  }
  std::uint64_t next_check() const { return checks_.next(); }
  ipc::packet_socket& packets() { return hello_.first; }

  /// How the worker ends by itself.
  death_report ends() {
    auto dies = death_.get_future();
    const bool alone = dies.wait_for(test::medium_time) == std::future_status::ready;
    EXPECT_TRUE(alone);
    if (!alone) starter_->kill(process_, SIGKILL);
    return dies.get();
  }

 private:
  static const std::size_t size;

  ipc::created_region mine_ = ipc::region::create(size, ipc::region::access::mine);
  ipc::created_region page_ = ipc::region::create(shared_page_size, ipc::region::access::both);
  ipc::event bell_;
  std::pair<ipc::packet_socket, ipc::packet_socket> hello_ = ipc::packet_socket::pair();
  ipc::region theirs_;
  std::optional<ipc::parent_end> channel_;
  frame_checks checks_{7};
  std::promise<death_report> death_;
  std::shared_ptr<worker_starter> starter_ = worker_starter::acquire();
  std::uint64_t process_ = 0;
};

const std::size_t any_pool::size = ipc::channel_region_size(remote_worker::ring_capacity);

}  // namespace

TEST(worker_main, obeys_frames_whose_checks_are_right) {
  any_pool pool;

  pool.send({.kind = frame_kind::receive});
  pool.send({.kind = frame_kind::forget});
  pool.send({.kind = frame_kind::end});

  EXPECT_EQ(pool.ends().exit_code, EXIT_SUCCESS);
}

// If it obeyed, it would end in good order.
TEST(worker_main, obeys_no_frame_whose_check_is_wrong) {
  for (const int way : {0, 1, 2, 3}) {
    any_pool pool;
    request_header order{.kind = frame_kind::end};
    if (way == 1) order.check = pool.next_check() + 1;
    if (way == 2) {  // one that was right before
      order.check = pool.next_check();
      pool.send({.kind = frame_kind::receive});
    }
    if (way == 3) order.check = frame_checks{8}.next();  // of the other direction

    pool.send_unchecked(order);

    EXPECT_EQ(pool.ends().exit_code, out_of_step) << way;
  }
}

TEST(worker_main, obeys_a_frame_that_comes_in_pieces) {
  any_pool pool;
  const request_header order{.check = pool.next_check(), .kind = frame_kind::end};

  for (const std::byte& each : std::as_bytes(std::span{&order, 1})) pool.write({&each, 1});

  EXPECT_EQ(pool.ends().exit_code, EXIT_SUCCESS);
}

TEST(worker_main, obeys_no_frame_whose_sizes_cannot_be) {
  constexpr auto huge = std::numeric_limits<std::uint64_t>::max();
  const std::vector<request_header> all{
      {.kind = frame_kind::value},
      {.kind = static_cast<frame_kind>(99)},
      {.kind = frame_kind::call, .size = max_message + 1},
      {.kind = frame_kind::call, .size = huge},
      {.kind = frame_kind::call, .size = 8, .parts = huge - 4},
      {.kind = frame_kind::call, .size = 8, .parts = max_message},
      {.kind = frame_kind::call, .size = 8, .name_size = 9},
      {.kind = frame_kind::end, .size = 8, .parts = 64},
      {.kind = frame_kind::initialize, .size = huge},
  };
  for (std::size_t i = 0; i != all.size(); ++i) {
    any_pool pool;
    pool.send(all[i]);
    EXPECT_EQ(pool.ends().exit_code, out_of_step) << i;
  }
}

TEST(worker_main, learns_modules_however_many_there_are_and_however_long_their_paths) {
  any_pool pool;
  std::vector<module_description> all(3000);
  for (std::size_t i = 0; i != all.size(); ++i) {
    all[i] = {"/no/such/library/" + std::to_string(i), "build-id 00"};
  }
  all.push_back({std::string(1'000'000, 'x'), "build-id 00"});
  send_modules(pool.packets(), 0, all);
  send_modules(pool.packets(), static_cast<std::uint32_t>(all.size()), {{"/one/more", "none"}});

  pool.send({.kind = frame_kind::receive, .packets = 2});
  pool.send({.kind = frame_kind::end});

  EXPECT_EQ(pool.ends().exit_code, EXIT_SUCCESS);
}

TEST(worker_main, ends_when_it_misses_modules) {
  any_pool pool;
  send_modules(pool.packets(), 1, {{"/the/first/one/is/missing", "none"}});

  pool.send({.kind = frame_kind::receive, .packets = 1});

  EXPECT_EQ(pool.ends().exit_code, out_of_step);
}

// It waited for them, for as long as its pool kept the socket open: this was a hang of the fuzzer.
TEST(worker_main, ends_when_a_packet_is_announced_that_was_not_sent) {
  any_pool pool;

  pool.send({.kind = frame_kind::forget, .packets = 1});

  EXPECT_EQ(pool.ends().exit_code, out_of_step);
}

TEST(worker_main, ends_when_a_packet_makes_no_sense) {
  const packet_head empty{.number = 0, .size = 0, .kind = packet_kind::modules};
  const packet_head no_list{.number = 0, .size = 8, .kind = packet_kind::modules};
  const packet_head no_descriptor{.number = 0, .size = 1 << 20, .kind = packet_kind::modules};
  const packet_head no_memory{.number = 0, .size = 4096};
  const packet_head no_kind{.number = 0, .size = 8, .kind = static_cast<packet_kind>(9)};
  for (const packet_head& head : {empty, no_list, no_descriptor, no_memory, no_kind}) {
    any_pool pool;
    pool.packets().send(std::as_bytes(std::span{&head, 1}));

    pool.send({.kind = frame_kind::receive, .packets = 1});

    EXPECT_EQ(pool.ends().exit_code, out_of_step);
  }
}

}  // namespace cadre::process
