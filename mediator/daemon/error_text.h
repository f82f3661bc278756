/* SPDX-License-Identifier: MIT */
/*
 * An error as a sentence for the operator, beside the negative errno for the program. Used where
 * the daemon starts and each failure has to say what to do about it; the caller of the failed
 * function frees the text.
 */
#ifndef ALIQUOT_DAEMON_ERROR_TEXT_H
#define ALIQUOT_DAEMON_ERROR_TEXT_H

/* Sets *ret_error; NULL if memory is short. ret_error itself may be NULL. */
void error_text_set(char **ret_error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same as an expression of the value r, which is taken first: it may be made from errno. */
#define error_text(ret_error, r, ...)                                                              \
    ({                                                                                             \
        int error_text_result_ = (r);                                                              \
        error_text_set((ret_error), __VA_ARGS__);                                                  \
        error_text_result_;                                                                        \
    })

#endif
