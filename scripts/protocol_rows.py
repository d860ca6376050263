# SPDX-License-Identifier: BSD-3-Clause
"""What doc/vhost-user.md says of each message and feature, beyond what check_protocol.py finds in
the sources: what it means here, which tests are its own, which real front-end sends it.

ROWS: message -> (meaning, tests of its success, tests of its refusal). The tests that try every
message are not named here.
"""

ROWS = {
    'GET_FEATURES': ('the virtio features below', ['only_offered_features_are_accepted'], []),
    'SET_FEATURES': (
        'a subset of the offer. Unchangeable while a ring runs, but for LOG_ALL. Without '
        'PROTOCOL_FEATURES all rings are enabled',
        ['without_protocol_features_all_rings_are_enabled',
         'logging_goes_on_and_off_while_a_ring_runs'],
        ['only_offered_features_are_accepted', 'features_stay_as_they_are_while_a_ring_runs']),
    'SET_OWNER': ('accepted at any time; the connection is the session',
                  ['the_owner_may_be_set_and_reset_at_any_time'], []),
    'RESET_OWNER': ('accepted and ignored: deprecated, and means something else to everybody',
                    ['the_owner_may_be_set_and_reset_at_any_time'], []),
    'SET_MEM_TABLE': (
        '1 to 8 regions replace all there were, also while rings run. In a postcopy migration '
        'answered with our addresses',
        ['one_to_eight_regions_are_mapped', 'a_new_table_replaces_the_old_one_under_paused_rings',
         'a_table_is_answered_with_our_addresses_and_rings_wait'],
        ['a_table_that_contradicts_itself_is_refused',
         'a_table_that_cannot_be_mapped_leaves_the_old_one']),
    'SET_LOG_BASE': (
        'the dirty log, at any offset of its file. Answered with an echo of its 16 bytes, which '
        'QEMU, of any size, and rust-vmm, of this one, take for success',
        ['a_log_is_answered_with_an_echo_of_its_description',
         'a_log_begins_anywhere_in_its_file', 'a_log_is_replaced_while_rings_rest'],
        ['a_log_that_is_not_all_there_is_refused']),
    'SET_LOG_FD': ('signalled every 100 ms while there is a log: it may have changed',
                   ['the_log_eventfd_is_an_eventfd'], ['the_log_eventfd_is_an_eventfd']),
    'SET_VRING_NUM': ('split: a power of two; packed: any; up to 32768',
                      ['a_packed_ring_has_any_size'],
                      ['a_ring_size_is_a_power_of_two_within_the_offer',
                       'the_size_of_a_running_ring_is_fixed']),
    'SET_VRING_ADDR': (
        'in guest memory and aligned; also while the ring runs, to move it or to change its log '
        'flag', ['running_rings_may_be_moved', 'logging_goes_on_and_off_while_a_ring_runs'],
        ['addresses_need_a_memory_table', 'addresses_lie_in_guest_memory',
         'addresses_are_aligned']),
    'SET_VRING_BASE': ('packed: both indices with their wrap counters, unless the ring or the '
                       'record of it says otherwise; split: the used index decides',
                       ['a_base_that_was_given_outlives_the_choice_of_a_format'],
                       ['a_split_index_has_16_bits_and_a_packed_one_is_coded']),
    'GET_VRING_BASE': ('stops that ring alone and says exactly where it was; forgets the IOTLB, of '
                       'which QEMU tells nothing more then',
                       ['a_stopped_ring_reports_where_it_was_twice',
                        'a_stopped_ring_starts_again_with_a_kick_only'], []),
    'SET_VRING_KICK': ('starts the ring without waiting for a kick; later ones wake its worker',
                       ['a_ring_runs_once_it_is_complete_in_any_order'],
                       ['only_eventfds_are_accepted',
                        'what_does_not_suit_the_format_fails_with_the_last_part']),
    'SET_VRING_CALL': ('how the guest is interrupted; none: it polls',
                       ['a_descriptor_replaces_the_one_before',
                        'flags_of_descriptors_are_left_as_they_are'],
                       ['only_eventfds_are_accepted']),
    'SET_VRING_ERR': ('signalled when a ring turns out to be broken',
                      ['an_error_is_told_by_eventfd_or_message'], ['only_eventfds_are_accepted']),
    'GET_PROTOCOL_FEATURES': ('the protocol features below; before SET_FEATURES, too',
                              ['only_offered_protocol_features_are_accepted'], []),
    'SET_PROTOCOL_FEATURES': ('a subset of the offer, with what each one needs',
                              ['only_offered_protocol_features_are_accepted'],
                              ['only_offered_protocol_features_are_accepted',
                               'some_protocol_features_need_others']),
    'GET_QUEUE_NUM': ('128 queue pairs', ['the_queue_number_is_in_pairs'], []),
    'SET_VRING_ENABLE': (
        'a disabled transmit ring is drained and discarded, a disabled receive ring gets nothing. '
        'May precede SET_FEATURES', ['enabling_is_independent_of_starting'],
        ['enabling_is_independent_of_starting']),
    'SEND_RARP': ('a RARP broadcast from that port, to every other one; the table moves at once',
                  ['a_rarp_carries_the_address_of_the_guest'], []),
    'NET_SET_MTU': ('68 to 65535, for information and for the configuration space',
                    ['an_mtu_is_between_68_and_65535'], ['an_mtu_is_between_68_and_65535']),
    'SET_BACKEND_REQ_FD': ('the channel for the messages of the back-end',
                           ['a_channel_may_be_replaced'], ['a_channel_is_a_stream_socket']),
    'IOTLB_MSG': (
        'an update or an invalidation; this one is answered when no worker can touch the range any '
        'more', ['an_update_is_answered_when_it_can_be_used',
                 'an_invalidation_is_answered_when_nobody_uses_the_range'],
        ['an_update_that_makes_no_sense_is_refused']),
    'SET_VRING_ENDIAN': ('big-endian rings of legacy guests',
                         ['the_order_of_a_big_endian_legacy_guest'],
                         ['the_order_of_a_big_endian_legacy_guest']),
    'GET_CONFIG': ('MAC address, link status, queue pairs, MTU, speed',
                   ['a_part_of_the_space_is_read_in_a_reply_of_the_same_size'],
                   ['what_is_not_in_the_space_is_an_empty_reply',
                    'a_configuration_is_as_long_as_it_says']),
    'SET_CONFIG': ('the MAC address, by a legacy guest or a migration; other fields stay ours',
                   ['read_only_fields_change_in_a_migration_only'],
                   ['what_is_not_in_the_space_is_an_empty_reply',
                    'read_only_fields_change_in_a_migration_only']),
    'POSTCOPY_ADVISE': ('answered with a userfaultfd',
                        ['an_advice_is_answered_with_nothing_but_a_userfaultfd'],
                        ['an_advice_during_a_migration_is_refused']),
    'POSTCOPY_LISTEN': (
        "from now on a page may be missing; the port's queues move to a thread of their own",
        ['a_table_is_answered_with_our_addresses_and_rings_wait',
         'each_queue_pair_may_advise_and_listen'],
        ['listening_follows_an_advice_and_precedes_the_memory']),
    'POSTCOPY_END': ('all pages are there; the queues move back',
                     ['an_advice_is_answered_with_nothing_but_a_userfaultfd',
                      'a_table_is_answered_with_our_addresses_and_rings_wait'], []),
    'GET_INFLIGHT_FD': ('a buffer with a region for each ring, sealed against shrinking',
                        ['a_buffer_has_a_region_for_each_ring', 'a_reply_is_as_long_as_its_request',
                         'nobody_can_cut_the_buffer_off'],
                        ['rings_and_sizes_that_we_do_not_have_get_no_buffer']),
    'SET_INFLIGHT_FD': ("a predecessor's buffer: its rings go on from what it recorded",
                        ['the_next_back_end_finds_what_the_last_one_wrote'],
                        ['a_buffer_that_is_not_all_there_is_refused',
                         'a_file_that_may_shrink_is_refused']),
    'RESET_DEVICE': ('rings and features are forgotten; memory, the protocol and the descriptors '
                     'for calls and errors are kept',
                     ['resetting_the_device_forgets_all_but_memory_and_protocol'], []),
    'VRING_KICK': ('starts a ring that has no kick descriptor, and wakes its worker',
        ['a_kick_may_be_a_message'], []),
    'GET_MAX_MEM_SLOTS': ('509, with packed rings and behind an IOMMU, too',
                          ['there_are_509_memory_slots'], []),
    'ADD_MEM_REG': ('one region more; the others stay where they are mapped',
                    ['memory_is_added_and_removed_under_paused_rings',
                     'a_region_that_is_added_is_answered_in_the_same_way'],
                    ['there_are_509_memory_slots',
                     'a_region_that_cannot_be_added_leaves_the_others']),
    'REM_MEM_REG': ('the region with that address, user address and size; a descriptor that comes '
                    'along is closed',
                    ['memory_is_added_and_removed_under_paused_rings',
                     'a_descriptor_that_comes_with_a_removal_is_closed'],
                    ['a_region_is_removed_whatever_offset_is_said']),
    'SET_STATUS': ('kept, shown by `ringway port show`',
                   ['the_status_is_returned_without_features_ok_for_bad_features'], []),
    'GET_STATUS': ('as set; without FEATURES_OK when the features were refused',
                   ['the_status_is_returned_without_features_ok_for_bad_features'], []),
    'SET_DEVICE_STATE_FD': (
        'the stations behind the port are saved to, or loaded from, that pipe, at its pace',
        ['a_state_is_saved_at_the_reader_s_pace', 'a_state_is_loaded_at_the_writer_s_pace'],
        ['one_transfer_goes_on_at_a_time', 'rings_rest_while_a_transfer_begins',
         'directions_phases_and_descriptors_that_do_not_exist_are_errors']),
    'CHECK_DEVICE_STATE': ('whether all of it arrived and was understood',
                           ['a_check_reads_what_is_left_in_the_pipe'],
                           ['a_transfer_that_is_not_over_fails_its_check',
                            'a_state_that_is_not_understood_fails_its_check',
                            'a_reader_that_goes_away_fails_the_save']),
}

# Messages that are refused whatever was negotiated -> why.
OTHER_DEVICES = {
    'CREATE_CRYPTO_SESSION': 'this is not a crypto device',
    'CLOSE_CRYPTO_SESSION': 'this is not a crypto device',
    'GPU_SET_SOCKET': 'this is not a graphics device',
    'GET_SHARED_OBJECT': 'this device shares no buffers of graphics or video',
    'GET_SHMEM_CONFIG': 'a network device has no shared memory regions',
}

# Message of the back-end -> (meaning, tests).
BACKEND_ROWS = {
    'BACKEND_IOTLB_MSG': (
        'a miss: the front-end is asked for a translation, and nobody waits for it',
        ['a_miss_asks_for_an_answer_if_there_can_be_one',
         'answers_belong_to_questions_in_their_order', 'questions_are_limited']),
    'BACKEND_CONFIG_CHANGE_MSG': ('the MTU in the configuration space is another',
                                  ['a_change_of_the_configuration_is_told']),
    'BACKEND_VRING_CALL': ('interrupts a guest without an eventfd',
                           ['calls_of_a_worker_become_messages',
                            'a_full_channel_keeps_one_call_and_one_error_of_each_ring']),
    'BACKEND_VRING_ERR': ('a ring turned out to be broken',
                          ['an_error_is_told_by_eventfd_or_message']),
}

# Protocol features that are more than the messages they allow -> (meaning, tests).
FEATURE_ROWS = {
    'MQ': ('several queue pairs', ['the_queue_number_is_in_pairs']),
    'REPLY_ACK': ('every message without an answer of its own is acknowledged if asked for',
                  ['need_reply_is_answered_once_with_zero_on_success',
                   'need_reply_means_nothing_unless_negotiated']),
    'PAGEFAULT': ("offered on a port with `postcopy=on` only: it trusts the front-end with the "
                  'whole process', []),
    'CONFIG': ('offered on a port with `config-space=on` only: QEMU has a space of its own, and '
               'warns of ours', ['what_disturbs_front_ends_is_for_those_who_ask']),
    'DEVICE_STATE': ('offered on a port with `device-state=on` only: see above',
                     ['what_disturbs_front_ends_is_for_those_who_ask']),
    'INBAND_NOTIFICATIONS': (
        'kicks, calls and errors as messages; needs BACKEND_REQ and REPLY_ACK',
        ['calls_of_a_worker_become_messages', 'an_eventfd_or_polling_is_preferred_to_messages']),
    'GET_VRING_BASE_INFLIGHT': (
        'GET_VRING_BASE may leave chains in flight in the buffer. Needs INFLIGHT_SHMFD',
        ['some_protocol_features_need_others']),
    'GPA_ADDRESSES': ('rings and IOTLB entries are given by guest-physical address',
                      ['addresses_may_be_guest_physical',
                       'updates_name_guest_physical_addresses_if_negotiated']),
}

# Protocol features that are not offered -> why.
NOT_OFFERED = {
    'CRYPTO_SESSION': 'this is not a crypto device',
    'BACKEND_SEND_FD': 'no message of ours carries a descriptor',
    'HOST_NOTIFIER': 'there is no doorbell hardware to map into the guest',
    'XEN_MMAP': 'guest memory comes as files, not by Xen grants',
    'SHARED_OBJECT': 'there are no buffers of graphics or video to share',
    'SHMEM': 'a network device has no shared memory regions',
}

# The messages that QEMU 7.2 sends in every test of tests/vm; and in these, or in most.
QEMU_ALWAYS = (
    'GET_FEATURES', 'SET_FEATURES', 'SET_OWNER', 'SET_VRING_NUM', 'SET_VRING_ADDR',
    'SET_VRING_BASE', 'SET_VRING_KICK', 'SET_VRING_CALL', 'SET_VRING_ERR', 'GET_PROTOCOL_FEATURES',
    'SET_PROTOCOL_FEATURES', 'GET_QUEUE_NUM', 'SET_VRING_ENABLE', 'SET_BACKEND_REQ_FD',
    'GET_MAX_MEM_SLOTS', 'ADD_MEM_REG', 'SET_STATUS', 'GET_STATUS')
QEMU_IN = {
    'SET_LOG_BASE': 'test_a_guest_moves_while_it_talks',
    'GET_VRING_BASE': 'test_a_guest_reboots_while_others_talk',
    'SEND_RARP': 'test_a_guest_moves_there_and_back',
    'NET_SET_MTU': 'test_two_queue_pairs',
    'IOTLB_MSG': 'test_two_guests_behind_iommus_talk',
    'POSTCOPY_ADVISE':
        'test_page_faults_of_a_guest_that_moves_by_postcopy_do_not_delay_others',
    'POSTCOPY_LISTEN':
        'test_page_faults_of_a_guest_that_moves_by_postcopy_do_not_delay_others',
    'POSTCOPY_END': 'test_page_faults_of_a_guest_that_moves_by_postcopy_do_not_delay_others',
    'REM_MEM_REG': 'test_memory_comes_and_goes_while_a_guest_talks',
}
# The messages that DPDK 22.11's virtio-user sends in every test of tests/client.
VIRTIO_USER = (
    'GET_FEATURES', 'SET_FEATURES', 'SET_OWNER', 'SET_MEM_TABLE', 'SET_VRING_NUM',
    'SET_VRING_ADDR', 'SET_VRING_BASE', 'GET_VRING_BASE', 'SET_VRING_KICK', 'SET_VRING_CALL',
    'GET_PROTOCOL_FEATURES', 'SET_PROTOCOL_FEATURES', 'SET_VRING_ENABLE', 'SET_STATUS',
    'GET_STATUS')

# What tests/guest sends whenever a guest starts.
EVERY_GUEST = (
    'GET_FEATURES', 'SET_FEATURES', 'SET_OWNER', 'SET_MEM_TABLE', 'SET_VRING_NUM',
    'SET_VRING_ADDR', 'SET_VRING_BASE', 'SET_VRING_KICK', 'SET_VRING_CALL',
    'GET_PROTOCOL_FEATURES', 'SET_PROTOCOL_FEATURES', 'SET_VRING_ENABLE')
# What it sends of its own accord when a test has asked for that with this word.
ON_ITS_OWN = {
    'GET_MAX_MEM_SLOTS': 'VU_PF_CONFIGURE_MEM_SLOTS',
    'ADD_MEM_REG': 'VU_PF_CONFIGURE_MEM_SLOTS',
    'IOTLB_MSG': 'FE_IOMMU_',
    'SET_BACKEND_REQ_FD': 'FE_IOMMU_|VU_PF_BACKEND_REQ',
    'VRING_KICK': 'INBAND_NOTIFICATIONS',
}
